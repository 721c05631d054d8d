"""``python -m cameo_train`` does what ``cameo-train`` does."""

from cameo_train.cli import main

if __name__ == "__main__":  # not where documentation tools or tests import every module
    main(prog_name="cameo-train")
