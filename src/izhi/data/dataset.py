"""The data set of a training: samples, classes and shape; and data sets of your own data.

Your own data are arrays and tensors, torch data sets and loaders, time series, and recordings as tonic has them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from izhi.data.events import CachedReader, EventSamples, Recording, checked, first_index
from izhi.data.samples import NO_LABEL, AnySamples, Samples, Scale, SeriesSamples, checked_series, split
from izhi.errors import DataError, LabelWarning, SettingError, shown

Array: TypeAlias = NDArray[Any]

#: Fields of an event in tonic, besides x and y: time, µs, and polarity.
_TIME, _POLARITY = "t", "p"
#: Share of each class in the test set, if no test samples are given, and the seed of that choice.
TEST_SHARE, TEST_SEED = 0.2, 0
#: Classes at most: evaluation counts each pair of them.
MOST_CLASSES = 4096


@dataclass(frozen=True)
class Dataset:
    """A classification data set, with test samples chosen by its publishers or by a fixed seed.

    Attributes:
        name: as on the command line.
        train: training samples; ``izhi.data.split`` draws validation samples from them.
        test: test samples, which no choice may depend on.
        classes: names of the classes, in the order of the labels.
        shape: of one input, such as (28, 28); of time series the shape of the longest.
        groups: subsets of the test samples with a reported accuracy of their own: name → mask (M,).
        speakers: speaker or subject of each training sample, (M,); None if unknown.
        over_time: whether the first dimension of ``shape`` is time.
        window: length of recordings, ms; None for values.
        scale: of time series; None for others.
    """

    name: str
    train: AnySamples
    test: AnySamples
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    groups: Mapping[str, Tensor] = field(default_factory=dict)
    speakers: Tensor | None = None
    over_time: bool = False
    window: float | None = None
    scale: Scale | None = None

    @staticmethod
    def of(
        samples: object, labels: object = None, *, test: object = None, classes: Sequence[str] | None = None,
        over_time: bool = False, sensor: Sequence[int] | None = None, name: str = "own",
    ) -> Dataset:  # fmt: skip
        """A data set of your own data.

        Args:
            samples: an array or tensor (M, …), a torch ``Dataset`` of pairs of a sample and its label, or a
                ``DataLoader`` of them. Samples are values, or recordings as tonic has them: arrays of events with
                the fields t (µs), x, p and for cameras y.
            labels: (M,), whole numbers from 0, of an array; of time series also (M, T), or M arrays (T,), one for each
                step, and −1 for steps without one.
            test: test samples, like ``samples`` or a pair of an array and its labels; None for a fifth of each class.
            classes: names of the classes; None for numbers.
            over_time: whether a sample is values over time, (T, …). For time series, (T, features), T may differ
                between samples.
            sensor: shape of the sensor of recordings, (channels,) or (polarities, height, width); None to derive it.
            name: for messages.

        Values outside 0 to 1 are scaled, each by its range in the training samples; uint8 has the range 0 to 255. Time
        series are scaled by the range of each channel over all steps of the training samples.

        Raises:
            DataError: for other data, naming the sample.
        """
        return _of_own(samples, labels, test, classes, over_time, sensor, name)

    @property
    def features(self) -> int:
        return self.train.features


def hold_out_speaker(dataset: Dataset, speaker: int) -> tuple[AnySamples, AnySamples]:
    """Training samples of all other speakers, and validation samples of this one.

    Settings chosen so generalise to unknown speakers.

    Raises:
        SettingError: if speakers are unknown, or the samples lack this speaker or any other.
    """
    if dataset.speakers is None:
        raise SettingError(f"validation_speaker is {speaker}, but {dataset.name} does not say who spoke; leave it out")
    held_out = dataset.speakers == speaker
    if not held_out.any() or held_out.all():
        known = ", ".join(str(x) for x in sorted(set(dataset.speakers.tolist())))
        raise SettingError(f"validation_speaker is {speaker}, expected one of several: {known}")
    return dataset.train.subset(~held_out), dataset.train.subset(held_out)


def _of_own(
    samples: object, labels: object, test: object, classes: Sequence[str] | None, over_time: bool,
    sensor: Sequence[int] | None, name: str,
) -> Dataset:  # fmt: skip
    """See ``Dataset.of``."""
    train, shape = _samples(samples, labels, over_time=over_time, sensor=sensor, where="sample")
    if test is None:
        train, held_out = split(train, TEST_SHARE, TEST_SEED)
    else:
        pair = test if isinstance(test, tuple) and len(test) == 2 else (test, None)
        sensor = shape if isinstance(train, EventSamples) else None
        held_out, other = _samples(*pair, over_time=over_time, sensor=sensor, where="test sample")
        begin = 1 if isinstance(train, SeriesSamples) else 0  # series may be longer or shorter
        if len(other) != len(shape) or other[begin:] != shape[begin:]:
            raise DataError(f"test samples have shape {other}, expected {shape}, that of the training samples")
    names, window, scale = _names(classes, train, held_out), None, None
    if isinstance(train, SeriesSamples) and isinstance(held_out, SeriesSamples):
        scale, shape = Scale.of(train), (train.longest, train.features)
        train, held_out = train.scaled(scale), held_out.scaled(scale)
    elif isinstance(train, Samples) and isinstance(held_out, Samples):
        train, held_out = _scaled(train, held_out)
    else:
        readers = [x.reader for x in (train, held_out) if isinstance(x, EventSamples)]
        recordings = [x.reader for x in readers if isinstance(x, CachedReader)]
        window = max(x.window for x in recordings if isinstance(x, _Recordings))
    return Dataset(name, train, held_out, names, shape, over_time=over_time, window=window, scale=scale)


def _names(classes: Sequence[str] | None, *samples: AnySamples) -> tuple[str, ...]:
    """A name for each class; DataError for a label without a name."""
    largest = max(int(x.labels.max()) for x in samples)
    if classes is not None and not len(classes):
        raise DataError("classes is empty, expected a name for each class; leave it out for numbers")
    if max(largest + 1, len(classes or ())) > MOST_CLASSES:
        raise DataError(
            f"there are {max(largest + 1, len(classes or ())):,} classes, expected at most {MOST_CLASSES:,}; number the"
            " labels from 0"
        )
    least = min(int(x.labels.min()) for x in samples)
    if classes is None and least > 0:
        warnings.warn(
            f"no sample has the label 0: labels are {least} to {largest}, and classes 0 to {largest}; number them from"
            " 0, or name the classes",
            LabelWarning, stacklevel=4,
        )  # fmt: skip
    names = tuple(map(str, classes)) if classes is not None else tuple(str(k) for k in range(largest + 1))
    if largest >= len(names):
        index = next(int(x.labels.argmax()) * len(x) // x.labels.numel() for x in samples if x.labels.max() == largest)
        raise DataError(
            f"sample {index} has the label {largest}, expected 0 to {len(names) - 1}: there are {len(names)} classes"
        )
    return names


def _samples(
    samples: Any, labels: object, *, over_time: bool, sensor: Sequence[int] | None, where: str
) -> tuple[AnySamples, tuple[int, ...]]:
    """Samples, and the shape of one."""
    if isinstance(samples, torch.utils.data.DataLoader):
        samples = [pair for batch in samples for pair in zip(*_pair(batch, "batch", 0), strict=True)]
    is_array = isinstance(samples, (np.ndarray, Tensor)) or (labels is not None and isinstance(samples, (list, tuple)))
    if is_array and labels is None:
        raise DataError(f"there are samples without labels, expected a label for each {where}; give Dataset.of(x, y)")
    if is_array:
        return _of_values(samples, labels, over_time=over_time, where=where)
    if not hasattr(samples, "__getitem__") or not hasattr(samples, "__len__") or not len(samples):
        raise DataError(f"the samples are {shown(samples)}, expected arrays, or a torch Dataset that is not empty")
    first, _ = _pair(samples[0], where, 0)
    if isinstance(first, np.ndarray) and first.dtype.names:
        if sensor is not None and len(sensor) not in (1, 3):
            raise SettingError(f"sensor is {tuple(sensor)}, expected (channels,) or (polarities, height, width)")
        reader = _Recordings(samples, sensor)
        return EventSamples.of(reader), reader.shape
    pairs = [_pair(samples[k], where, k) for k in range(len(samples))]
    return _of_values([x for x, _ in pairs], [y for _, y in pairs], over_time=over_time, where=where)


def _pair(item: object, where: str, number: int) -> tuple[Any, Any]:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise DataError(f"{where} {number} is {shown(item)}, expected a pair of a sample and its label")
    return item[0], item[1]


def _numpy(values: object) -> Array:
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)


def _stacked(values: Any, where: str) -> Array:
    """Samples as one array; DataError for the first of another shape."""
    if isinstance(values, (np.ndarray, Tensor)) and (array := _numpy(values)).dtype != object:
        return array
    arrays = [_numpy(x) for x in values]
    for number, one in enumerate(arrays):
        if one.shape != arrays[0].shape:
            raise DataError(
                f"{where} {number} has shape {one.shape}, expected {arrays[0].shape} as the first has; make them alike"
            )
    return np.stack(arrays)


def _labels(labels: object, count: int, where: str) -> Tensor:
    values = _numpy(labels)
    if values.shape != (count,):
        raise DataError(f"labels have shape {values.shape}, expected ({count},): one for each {where}")
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64) if values.dtype.kind in "iubf" else None
    if whole is None or ((whole != values) | (whole < 0)).any():
        odd = 0 if whole is None else int(((whole != values) | (whole < 0)).argmax())
        raise DataError(f"{where} {odd} has the label {shown(values[odd].item())}, expected a whole number from 0")
    return torch.from_numpy(whole)


def _labels_of_steps(labels: Any, lengths: Sequence[int], where: str) -> Tensor:
    """Labels (M, longest) of the steps of series; NO_LABEL after the end of each."""
    each, longest = [_numpy(x) for x in labels], max(lengths)
    if len(each) != len(lengths):
        raise DataError(f"labels are those of {len(each)} samples, expected {len(lengths)}: one array for each {where}")
    whole = np.full((len(each), longest), NO_LABEL, np.int64)
    is_array = isinstance(labels, (np.ndarray, Tensor))
    for number, (values, length) in enumerate(zip(each, lengths, strict=True)):
        if values.shape != (longest if is_array else length,):
            raise DataError(
                f"labels of {where} {number} have shape {values.shape}, expected ({length},): one for each step"
            )
        own = values[:length]
        with np.errstate(invalid="ignore"):
            numbers = own.astype(np.int64) if own.dtype.kind in "iubf" else np.full(length, NO_LABEL)
        if (at := first_index((numbers != own) | (numbers < NO_LABEL))) is not None:
            raise DataError(
                f"{where} {number} has the label {shown(own[at].item())} at step {at}, expected a whole number from 0,"
                f" or {NO_LABEL} for none"
            )
        if (numbers == NO_LABEL).all():
            raise DataError(f"{where} {number} has no label at any step; leave it out")
        whole[number, :length] = numbers
    return torch.from_numpy(whole)


def _of_values(
    samples: Any, labels: Any, *, over_time: bool, where: str
) -> tuple[Samples | SeriesSamples, tuple[int, ...]]:
    """Samples (T, features) over time as series, all others as vectors; and the shape of one."""
    if over_time:
        arrays = [_numpy(x) for x in samples]
        if arrays and arrays[0].ndim == 2:
            checked = checked_series(arrays, where)
            if len(labels) and np.ndim(labels[0]) == 1:
                y = _labels_of_steps(labels, [len(one) for one in checked], where)
            else:
                y = _labels(labels, len(arrays), where)
            series = SeriesSamples.of(checked, y)
            return series, (series.longest, series.features)
    x = _stacked(samples, where)
    if x.ndim < 2 or not x.size:
        raise DataError(f"{where}s have shape {x.shape}, expected (samples, …) with at least one value each")
    y = _labels(labels, len(x), where)
    if over_time and x.ndim < 3:
        raise DataError(f"samples have shape {x.shape}, expected (samples, T, …) of values over time")
    if x.dtype.kind not in "iubf":
        raise DataError(f"samples are {x.dtype}, expected numbers")
    flat = x.reshape(len(x), -1)
    if flat.dtype != np.uint8:
        with np.errstate(over="ignore"):
            flat = flat.astype(np.float32)
        if (odd := first_index(~np.isfinite(flat).all(1))) is not None:
            raise DataError(f"{where} {odd} holds numbers that are not finite; leave it out, or fill them in")
    return Samples(torch.from_numpy(np.ascontiguousarray(flat)), y), x.shape[1:]


def _scaled(train: Samples, test: Samples) -> tuple[Samples, Samples]:
    """Values from 0 to 1: unchanged, or each scaled by its range in the training samples."""
    low, high = train.inputs.amin(0), train.inputs.amax(0)
    if train.inputs.dtype == torch.uint8 or (low.min() >= 0 and high.max() <= 1):
        return train, test
    if not torch.isfinite(high - low).all():  # a range that float32 does not hold
        low, high = low.double(), high.double()
    span = torch.where(high > low, high - low, torch.ones((), dtype=low.dtype))
    return tuple(Samples(((x.inputs - low) / span).clamp(0, 1).float(), x.labels) for x in (train, test))  # type: ignore[return-value]


class _Recordings:
    """Recordings of a data set such as tonic's. The constructor reads all of them once.

    Args:
        dataset: of pairs of events, a structured array of t in µs, x, p and for cameras y, and a label.
        sensor: shape of the sensor; None for that of the data set, or of the events.

    Attributes:
        window: length of the longest recording, ms.
    """

    def __init__(self, dataset: Any, sensor: Sequence[int] | None) -> None:
        self._dataset, labels = dataset, []
        largest, last = np.zeros(3, np.int64), 0
        for record in range(len(dataset)):
            events, label = _pair(dataset[record], "recording", record)
            labels.append(label)
            largest = np.maximum(largest, _largest(events, record))
            last = max(last, int(np.ptp(events[_TIME].astype(np.int64)))) if len(events) else last
        self.labels = _labels(labels, len(labels), "recording").numpy()
        self.window = (last + 1) / 1000
        own = sensor if sensor is not None else getattr(dataset, "sensor_size", None)
        if own is None:
            polarities, height, width = (int(x) + 1 for x in largest)
        elif sensor is None:  # tonic's order
            width, height, polarities = (int(x) for x in own)
        else:
            polarities, height, width = (1, 1, *own) if len(own) == 1 else (int(x) for x in own)
        self.shape: tuple[int, ...] = (polarities, height, width) if height > 1 else (width,)

    def read(self, record: int) -> Recording:
        """One recording."""
        events, _ = _pair(self._dataset[record], "recording", record)
        units = events["x"].astype(np.int64)
        if len(self.shape) == 3:
            _, height, width = self.shape
            units += (events[_POLARITY].astype(np.int64) * height + events["y"].astype(np.int64)) * width
        times = events[_TIME].astype(np.int64)
        order = np.argsort(times, kind="stable")
        times = times[order]
        return checked(times - times[:1].sum(), units[order], prod(self.shape), f"recording {record}")


def _largest(events: Array, record: int) -> NDArray[np.int64]:
    """The largest polarity, y and x."""
    names = events.dtype.names or ()
    if _TIME not in names or "x" not in names:
        raise DataError(f"recording {record} has the fields {names}, expected t, x, p and for cameras y")
    fields = (_POLARITY, "y", "x")
    return np.array([int(events[n].max()) if n in names and len(events) else 0 for n in fields], np.int64)
