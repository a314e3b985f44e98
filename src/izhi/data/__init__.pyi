from .catalogue import (
    CARRIED as CARRIED,
    DATASETS as DATASETS,
    EMBEDDED as EMBEDDED,
    FILES as FILES,
    MEMORY_TASKS as MEMORY_TASKS,
    data_root as data_root,
    has_events as has_events,
    is_over_time as is_over_time,
    recorded_names as recorded_names,
    require_known as require_known,
    usual_window as usual_window,
)
from .dataset import Dataset as Dataset, hold_out_speaker as hold_out_speaker
from .events import EventBatch as EventBatch, EventSamples as EventSamples
from .loading import (
    SOURCES as SOURCES,
    check as check,
    count as count,
    fetch as fetch,
    is_there as is_there,
    load as load,
    source_of as source_of,
)
from .samples import (
    NO_LABEL as NO_LABEL,
    AnyBatch as AnyBatch,
    AnySamples as AnySamples,
    Samples as Samples,
    Scale as Scale,
    SeriesBatch as SeriesBatch,
    SeriesSamples as SeriesSamples,
    has_step_labels as has_step_labels,
    split as split,
    stream as stream,
)
from .source import Part as Part, Source as Source
