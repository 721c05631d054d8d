"""``python -m cameo_train.cli``, for launchers that start modules."""

from cameo_train.cli import main

main(prog_name="cameo-train")
