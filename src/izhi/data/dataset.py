"""The one form in which every data set reaches training."""

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
    """A classification data set with the test samples its publishers, or a fixed seed, set apart.

    Attributes:
        name: as on the command line.
        train: samples to learn from; ``izhi.data.split`` takes validation samples out of them.
        test: samples used for no choice of any kind.
        classes: names of the classes, in the order of the labels.
        shape: shape of one input as people know it, such as (28, 28); of time series that of the longest.
        groups: parts of the test samples whose accuracy is also reported apart: name → mask (M,).
        speakers: who spoke each training sample, or whose it is, (M,), where that is known.
        over_time: whether the first dimension of ``shape`` is time.
        window: milliseconds of recordings; None for values.
        scale: by which time series were scaled; None for others.
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
        """Data of one's own.

        Args:
            samples: an array or tensor (M, …), a torch ``Dataset`` of pairs of a sample and its label, or a
                ``DataLoader`` of them. Samples are values, or recordings as tonic has them: arrays of events with
                the fields t (µs), x, p and for cameras y.
            labels: (M,), whole numbers from 0, of an array.
            test: test samples, like ``samples`` or a pair of an array and its labels; None to set a fifth of
                each class apart.
            classes: their names; None for numbers.
            over_time: whether a sample is values over time, (T, …). Where it is (T, features), a time series, T may
                differ from sample to sample.
            sensor: shape of the sensor of recordings, (channels,) or (polarities, height, width); None to find it.
            name: for messages.

        Values that are not within 0 and 1 are scaled, each by the range that it has in the training samples; uint8 is
        taken as 0 to 255. Time series are scaled by the range of each channel over all steps of the training samples.

        Raises:
            DataError: for what is no such data, naming the sample.
        """
        found = own.parts(samples, labels, test, classes, over_time, sensor)
        return cls(
            name, found.train, found.test, found.classes, found.shape, over_time=over_time, window=found.window,
            scale=found.scale,
        )  # fmt: skip

    @property
    def features(self) -> int:
        return self.train.features


def hold_out_speaker(dataset: Dataset, speaker: int) -> tuple[AnySamples, AnySamples]:
    """Training samples of all other speakers, and validation samples of this one.

    Settings that are chosen so are chosen for people who have not been heard before.

    Raises:
        SettingError: where speakers are not known, or there is no such speaker, or no other.
    """
    if dataset.speakers is None:
        raise SettingError(f"validation_speaker is {speaker}, but {dataset.name} does not say who spoke; leave it out")
    his = dataset.speakers == speaker
    if not his.any() or his.all():
        known = ", ".join(str(x) for x in sorted(set(dataset.speakers.tolist())))
        raise SettingError(f"validation_speaker is {speaker}, expected one of several: {known}")
    return dataset.train.subset(~his), dataset.train.subset(his)
