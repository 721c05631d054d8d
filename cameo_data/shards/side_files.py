"""Files beside the shards for other tools: wids, sha256sum, Hugging Face, Croissant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from cameo_data.errors import plural
from cameo_data.shards.layout import SHARD_FOLDER
from cameo_data.shards.writer import ShardRecord

SHARD_LIST = "shards.json"
CARD = "README.md"
CROISSANT = "croissant.json"
SUMS = "SHA256SUMS"
NAMES = (SHARD_LIST, CARD, CROISSANT, SUMS)


class HasSha256(Protocol):
    """A record of a file's bytes."""

    @property
    def sha256(self) -> str:
        """In hexadecimal."""


@dataclass(frozen=True)
class About:
    """A build's name, the licence of its input (None: not known) and the tool version."""

    name: str
    licence: str | None
    tool_version: str


def texts(
    about: About,
    shards: Sequence[ShardRecord],
    counts: Mapping[str, Any],
    others: Mapping[str, HasSha256],
) -> Iterator[tuple[str, bytes]]:
    """File name and bytes of each companion; ``SHA256SUMS`` last.

    Callers record each file in ``others`` as they write it, so that the sums cover all files.
    """
    yield SHARD_LIST, _json(shard_list(about, shards))
    yield CARD, card(about, shards, counts).encode()
    yield CROISSANT, _json(croissant(about, shards))
    yield SUMS, sums(shards, others).encode()


def shard_list(about: About, shards: Sequence[ShardRecord]) -> dict[str, Any]:
    """``shards.json`` as the ``wids`` package of webdataset reads it, for indexed access."""
    return {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": about.name,
        "shardlist": [
            {
                "url": f"{SHARD_FOLDER}/{shard.name}",
                "nsamples": shard.samples,
                "filesize": shard.bytes,
            }
            for shard in shards
        ],
    }


def sums(shards: Sequence[ShardRecord], others: Mapping[str, HasSha256]) -> str:
    """``SHA256SUMS`` as ``sha256sum -c`` reads it."""
    digests = {name: record.sha256 for name, record in others.items()}
    digests |= {f"{SHARD_FOLDER}/{shard.name}": shard.sha256 for shard in shards}
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))


def card(about: About, shards: Sequence[ShardRecord], counts: Mapping[str, Any]) -> str:
    """``README.md``: a Hugging Face dataset card, which makes ``load_dataset(folder)`` work."""
    front = {
        "pretty_name": about.name,
        "tags": ["webdataset", "multi-view", "correspondence", "depth"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": f"{SHARD_FOLDER}/*.tar"}],
            }
        ],
    }
    if about.licence is not None:
        front["license"] = about.licence
    rows = [
        ("samples", sum(shard.samples for shard in shards)),
        ("scenes", len({scene for shard in shards for scene in shard.scenes})),
        ("shards", len(shards)),
        ("bytes", sum(shard.bytes for shard in shards)),
        *_frame_rows(counts),
    ]
    table = "".join(f"| {label} | {value} |\n" for label, value in rows)
    patterns = dict.fromkeys(_pattern(member) for member in shards[0].members)
    members = "".join(f"- `.{pattern}`\n" for pattern in patterns)
    licence = about.licence or "not stated; that of the data which the shards were made from"
    return (
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n"
        f"# {about.name}\n\n"
        "Groups of posed views with depth, and ground truth of which pixel of one view is which\n"
        "pixel of another and where it is hidden. Plain WebDataset tars, written by cameo\n"
        f"{about.tool_version}. Licence: {licence}.\n\n"
        f"| | |\n| --- | ---: |\n{table}\n"
        f"{_remarks(counts)}"
        f"Every sample holds these members (N: view, A-B: ordered pair of views):\n\n{members}\n"
        + _CARD_READING
    )


def _frame_rows(counts: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    frames = counts.get("frames")
    if isinstance(frames, Mapping):
        for key, value in frames.items():
            yield f"frames {key.replace('_', ' ')}", value


def _remarks(counts: Mapping[str, Any]) -> str:
    """A list of what the build found in its input; empty where it found nothing to report."""
    lines = [
        f"- {scene['scene_id']}: poses, depth or K look wrong: "
        f"{'; '.join(scene['complaints']) or 'see `counts.check` in index.json'}"
        for scene in (counts.get("check") or {}).get("scenes", ())
        if scene["verdict"] == "inconsistent"
    ]
    for note in counts.get("notes", ()):
        number = note["scenes"]
        lines.append(f"- {note['note']} ({plural(number, 'scene')})")
    lines += [f"- not used ({one['count']}): {one['what']}" for one in counts.get("unused", ())]
    if not lines:
        return ""
    # a source's text may have several lines; each item takes one
    listed = "\n".join(" ".join(line.split()) for line in lines)
    return f"Of the data that the shards were made from:\n\n{listed}\n\n"


def _pattern(member: str) -> str:
    """``0.depth.png16`` as ``N.depth.png16``, ``xy1.0-1.x.png16`` as ``xy1.A-B.x.png16``."""
    return re.sub(r"\.\d+-\d+\.", ".A-B.", re.sub(r"^\d+\.", "N.", member))


_CARD_READING = """\
```python
from cameo_data import ShardReader

for sample in ShardReader("."):
    print(sample.key, sample.images[0].shape)
    for stride, maps in sample.correspondence.items():
        print(stride, maps.verdict.shape)
```

Plain `webdataset`, `datasets.load_dataset(".")` and `tarfile` read the shards as well; the format
and short recipes are in cameo's `docs/shards.md`. `cameo-data verify .` or
`sha256sum -c SHA256SUMS` checks that every byte arrived.
"""


def croissant(about: About, shards: Sequence[ShardRecord]) -> dict[str, Any]:
    """``croissant.json``: the shards as files, the samples' ``.json`` as records."""
    files = [
        {
            "@type": "cr:FileObject",
            "@id": shard.name,
            "name": shard.name,
            "contentUrl": f"{SHARD_FOLDER}/{shard.name}",
            "contentSize": f"{shard.bytes} B",
            "encodingFormat": "application/x-tar",
            "sha256": shard.sha256,
        }
        for shard in shards
    ]
    records = {
        "@type": "cr:FileSet",
        "@id": "sample-records",
        "name": "sample-records",
        "containedIn": [{"@id": shard.name} for shard in shards],
        "encodingFormat": "application/json",
        "includes": "*.json",
    }
    out: dict[str, Any] = {
        "@context": _CROISSANT_CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": about.name,
        "description": "Groups of posed views with depth and the correspondences between them.",
        "distribution": [*files, records],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "samples",
                "name": "samples",
                "field": [
                    _field("key", "filename", regex=r"^(.+)\.json$"),
                    _field("record", "content"),
                ],
            }
        ],
    }
    if about.licence is not None:
        out["license"] = about.licence
    return out


def _field(name: str, extract: str, **transform: str) -> dict[str, Any]:
    source: dict[str, Any] = {
        "fileSet": {"@id": "sample-records"},
        "extract": {"fileProperty": extract},
    }
    if transform:
        source["transform"] = transform
    return {
        "@type": "cr:Field",
        "@id": f"samples/{name}",
        "name": name,
        "dataType": "sc:Text",
        "source": source,
    }


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


# The context of the Croissant 1.0 specification, https://docs.mlcommons.org/croissant/docs/croissant-spec.html
_CROISSANT_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
