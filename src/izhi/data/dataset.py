"""The data set of a training: samples, classes and shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from izhi.data import own
from izhi.data.samples import AnySamples
from izhi.data.series import Scale
from izhi.errors import SettingError


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

    @classmethod
    def of(
        cls, samples: object, labels: object = None, *, test: object = None, classes: Sequence[str] | None = None,
        over_time: bool = False, sensor: Sequence[int] | None = None, name: str = "own",
    ) -> Dataset:  # fmt: skip
        """A data set of your own data.

        Args:
            samples: an array or tensor (M, …), a torch ``Dataset`` of pairs of a sample and its label, or a
                ``DataLoader`` of them. Samples are values, or recordings as tonic has them: arrays of events with
                the fields t (µs), x, p and for cameras y.
            labels: (M,), whole numbers from 0, of an array.
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
        fields = own.dataset_fields(samples, labels, test, classes, over_time, sensor)
        return cls(name, over_time=over_time, **fields._asdict())

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
