"""``cameo-train models``: what ``--model`` can name."""

from __future__ import annotations

import click

from cameo_data.cli import common
from cameo_data.cli.command import Command

EPILOG = """
\b
Examples:
  cameo-train models
  cameo-train models --json
"""


@click.command("models", cls=Command, epilog=EPILOG)
@common.json_option
def command(as_json: bool) -> None:
    """List the models that `fit --model` can train, those of other packages included.

    Exit code 1: a package offers an architecture that cannot be used.
    """
    from cameo_train.models import presets
    from cameo_train.models.registry import problems

    found = list(presets().values())
    if as_json:
        records = [
            {
                "name": preset.name,
                "architecture": preset.architecture,
                "latents": preset.latents,
                "image_hw": preset.image_hw,
                "layer": preset.layer,
            }
            for preset in found
        ]
        common.echo_json({"models": records, "problems": problems()})
    else:
        rows = [
            (p.name, p.architecture, p.latents, f"{p.image_hw[0]}×{p.image_hw[1]}", p.layer)
            for p in found
        ]
        head = ("model", "architecture", "latents", "image (h×w)", "supervised layer")
        click.echo(common.table([head, *rows]))
        for line in problems():
            click.echo(f"error: {line}", err=True)
    if problems():
        raise click.exceptions.Exit(1)
