"""Are a scene's poses, depths and intrinsics consistent, and if not, which mistake is it?"""

from cameo_data.check.judge import SceneCheck, check_scene
from cameo_data.check.states import Named
from cameo_data.check.suspects.base import Suspect

__all__ = ["Named", "SceneCheck", "Suspect", "check_scene"]
