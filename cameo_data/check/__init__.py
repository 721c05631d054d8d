"""Are a scene's poses, depths and intrinsics consistent, and if not, which mistake is it?"""

from cameo_data.check.judge import Named, SceneCheck, check_scene

__all__ = ["Named", "SceneCheck", "check_scene"]
