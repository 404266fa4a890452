"""What every Airflow process of the image does at its start."""

from evergreen.local import preload

preload.install()
