"""Refuses remote addresses such as ``s3://bucket/x``, which are not local folders."""

from __future__ import annotations

import re

from cameo_data.errors import UsageError

# ``s3://…`` alone, or as the value of ``key=…`` or ``kind:…``. A single letter is a Windows drive.
_ADDRESS = re.compile(r"(?:^|[=:,\s])([A-Za-z][A-Za-z0-9+.-]+)://")


def require_local(text: str, where: str) -> None:
    """Refuse an address of remote storage.

    Without this check, ``Path("s3://bucket/x")`` would be a local folder called ``s3:``.

    Args:
        where: what the text was given for; it starts the message.

    Raises:
        UsageError: the text holds ``scheme://``.
    """
    found = _ADDRESS.search(text)
    if found is not None:
        raise UsageError(
            f"{where}: {text!r} is remote ({found[1]}://); expected a local path; "
            "copy or mount the storage, and give the local folder"
        )
