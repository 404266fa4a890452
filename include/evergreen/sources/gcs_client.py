"""A client of Google Cloud Storage as the connection says: a service account's key, nobody, or where this runs.

Of a `google_cloud_platform` connection's extra: `keyfile_dict` (the key's JSON) or `key_path` (its file), `project`,
`is_anonymous`, and `endpoint` for another server than Google's. Without any of them the client is who the machine is
(Application Default Credentials); with STORAGE_EMULATOR_HOST set, nobody.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evergreen.errors import SourceError
from evergreen.sources.connections import find_connection

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.cloud.storage import Client

READ = ("https://www.googleapis.com/auth/devstorage.read_only",)
WRITE = ("https://www.googleapis.com/auth/devstorage.read_write",)
NO_PROJECT = "none"  # reading objects needs none, and without one the library goes and looks for it


def open_client(connection: str | None, scopes: tuple[str, ...] = READ) -> Client:
    """The client; nothing is asked yet. Raises SourceError, with no secret in it, where credentials cannot be used."""
    from google.api_core.client_options import ClientOptions
    from google.cloud import storage

    # Else the client asks for the bucket's location beside every first request, for traces that nobody collects.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    extra = _extra(connection)
    endpoint = extra.get("endpoint") or os.environ.get("STORAGE_EMULATOR_HOST")
    if endpoint and "://" not in str(endpoint):
        endpoint = f"http://{endpoint}"
    return storage.Client(
        project=str(extra.get("project") or NO_PROJECT),
        credentials=_credentials(extra, connection, scopes, anonymous=bool(endpoint)),
        client_options=ClientOptions(api_endpoint=str(endpoint)) if endpoint else None,
    )


def _extra(connection: str | None) -> Mapping[str, Any]:
    if connection is None:
        return {}
    found = find_connection(connection, ("google_cloud_platform",)).extra
    return {name.removeprefix("extra__google_cloud_platform__"): value for name, value in found.items()}


def _credentials(
    extra: Mapping[str, Any], connection: str | None, scopes: tuple[str, ...], anonymous: bool
) -> Credentials:
    import google.auth
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import GoogleAuthError
    from google.oauth2 import service_account

    key, path = extra.get("keyfile_dict"), extra.get("key_path") or extra.get("keyfile_path")
    if str(extra.get("is_anonymous", False)).lower() == "true" or (anonymous and not key and not path):
        return AnonymousCredentials()
    try:
        if key:
            tree = json.loads(key) if isinstance(key, str) else key
            return service_account.Credentials.from_service_account_info(tree, scopes=scopes)
        if path:
            return service_account.Credentials.from_service_account_file(str(path), scopes=scopes)
        return google.auth.default(scopes=scopes)[0]
    except (GoogleAuthError, ValueError, TypeError, AttributeError, OSError):
        place = f"the key of the connection `{connection}`" if key or path else "this machine's own Google account"
        raise SourceError(
            f"{place} cannot be used (it is not shown here): give a connection of the type google_cloud_platform with "
            f"a service account's key in `keyfile_dict` or its file in `key_path`"
        ) from None
