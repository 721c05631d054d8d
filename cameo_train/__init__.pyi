# What the package exports, for type checkers and for lazy_loader alike: the only list of it.
from . import models as models
from .config import TrainConfig as TrainConfig
from .data.batches import Batch as Batch
from .data.batches import Plan as Plan
from .data.batches import batches as batches
from .data.batches import official_batch as official_batch
from .precision.arrays import PrecisionMeter as PrecisionMeter
from .precision.results import Bin as Bin
from .precision.results import Estimate as Estimate
from .protocols.measurement import Protocol as Protocol
from .supervision.heads import build_head_mix as build_head_mix
from .supervision.loss import correspondence_loss as correspondence_loss
from .supervision.official import official_loss as official_loss
from .supervision.strategy import Supervision as Supervision
from .supervision.strategy import TappedAttention as TappedAttention
from .supervision.supervised_rows import SupervisedRows as SupervisedRows
from .supervision.supervised_rows import supervised_rows as supervised_rows
from .supervision.targets import TokenTargets as TokenTargets
from .supervision.targets import token_targets as token_targets
from .taps import Tap as Tap
from .taps import TapAdapter as TapAdapter
from .taps import TapError as TapError
from .taps import TokenLayout as TokenLayout
from .taps import tap as tap
from .training.loop import Diverged as Diverged
from .training.loop import Stopped as Stopped
from .training.loop import TrainResult as TrainResult
from .training.loop import fit as fit

__version__: str
