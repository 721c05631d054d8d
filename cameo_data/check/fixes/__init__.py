"""What a named mistake is called, and the flag or line that undoes it for the source at hand."""

from cameo_data.check.fixes.base import Fix
from cameo_data.check.fixes.table import MISTAKES, Mistake, current_options, fix_of, named

__all__ = ["MISTAKES", "Fix", "Mistake", "current_options", "fix_of", "named"]
