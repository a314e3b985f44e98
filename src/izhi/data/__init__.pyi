from .catalogue import (
    DATASETS as DATASETS,
)
from .catalogue import (
    EMBEDDED as EMBEDDED,
)
from .catalogue import (
    FILES as FILES,
)
from .catalogue import (
    data_root as data_root,
)
from .catalogue import (
    found as found,
)
from .catalogue import (
    has_events as has_events,
)
from .catalogue import (
    require_known as require_known,
)
from .catalogue import (
    usual_window as usual_window,
)
from .dataset import (
    AnySamples as AnySamples,
)
from .dataset import (
    Dataset as Dataset,
)
from .dataset import (
    Samples as Samples,
)
from .dataset import (
    hold_out_speaker as hold_out_speaker,
)
from .dataset import (
    split as split,
)
from .dataset import (
    stream as stream,
)
from .events import EventBatch as EventBatch
from .events import EventSamples as EventSamples
from .loading import (
    SOURCES as SOURCES,
)
from .loading import (
    check as check,
)
from .loading import (
    count as count,
)
from .loading import (
    fetch as fetch,
)
from .loading import (
    is_there as is_there,
)
from .loading import (
    load as load,
)
from .loading import (
    source_of as source_of,
)
from .source import Part as Part
from .source import Source as Source
