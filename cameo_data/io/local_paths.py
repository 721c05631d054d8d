"""Paths must be local: an address such as ``s3://bucket/x`` is refused, not taken for a folder."""

from __future__ import annotations

import re

from cameo_data.errors import UsageError

# ``s3://…`` on its own, or as the value of ``key=…`` or ``kind:…``. One letter is a Windows drive.
_ADDRESS = re.compile(r"(?:^|[=:,\s])([A-Za-z][A-Za-z0-9+.-]+)://")


def require_local(text: str, where: str) -> None:
    """Refuses an address of remote storage.

    Without this, ``Path("s3://bucket/x")`` is a local folder called ``s3:``.

    Args:
        where: what the text was given for, as it starts the message.

    Raises:
        UsageError: the text holds ``scheme://``.
    """
    found = _ADDRESS.search(text)
    if found is not None:
        raise UsageError(
            f"{where}: {text!r} is remote ({found[1]}://); expected a local path; "
            "copy or mount the storage, and give the local folder"
        )
