"""``python -m cameo_data`` does what ``cameo-data`` does."""

from cameo_data.cli import main

if __name__ == "__main__":  # not where documentation tools or tests import every module
    main(prog_name="cameo-data")
