"""A feature table with a known structure, for the tests that train on one. Fits conftest's small project."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from evergreen.project import Project

START = datetime(2024, 1, 1, 5)  # midnight in New York
TIMES = ["_label_known_at", "_label_first_known_at"]


def feature_frame(rows: int = 1200, days: int = 40, seed: int = 0) -> pd.DataFrame:
    """`rows` rows over `days` days; large sizes of the team `red` are late. Labels are known a day later.

    Every 50th row has no label, every 10th no size.
    """
    random = np.random.default_rng(seed)
    offsets = np.sort(random.choice(days * 86400, rows, replace=False))
    time = pd.Series([START + timedelta(seconds=int(offset)) for offset in offsets]).astype("datetime64[us]")
    team = random.choice(["red", "green", "blue"], rows)
    size = random.uniform(0, 1000, rows).round(1)
    late = random.random(rows) < 1 / (1 + np.exp(-((size - 600) / 120 + np.where(team == "red", 1.5, 0))))
    label = pd.Series(late.astype("float64")).mask(np.arange(rows) % 50 == 0)
    return pd.DataFrame(
        {
            "_key": [f"{row:06d}" for row in range(rows)],
            "_time": time,
            "team": team,
            "size": pd.Series(size).mask(np.arange(rows) % 10 == 0),
            "hour": time.dt.hour.astype("float64"),
            "team_late_3d": random.random(rows),
            "_label": label,
            **dict.fromkeys(TIMES, (time + pd.Timedelta(days=1)).where(label.notna())),
        }
    )


def write_features(project: Project, frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """Write `frame` (default: `feature_frame()`) as the project's build/features.parquet, and return it."""
    frame = feature_frame() if frame is None else frame
    moments = ("_time", *TIMES)
    texts = ("_key", *project.params.features.categorical)
    types = {name: pa.timestamp("us") if name in moments else pa.float64() for name in frame}
    types |= dict.fromkeys(texts, pa.string())
    project.build.mkdir(exist_ok=True)
    table = pa.Table.from_pandas(frame, schema=pa.schema(types), preserve_index=False)
    pq.write_table(table, project.build / "features.parquet")
    return frame
