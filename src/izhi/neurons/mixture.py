"""Layers that begin as a mixture of firing classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from izhi.errors import SettingError
from izhi.spec.parameters import IzhikevichParameters
from izhi.spec.presets import preset


@dataclass(frozen=True)
class Mixture:
    """Members of a layer, and which neuron is which.

    Attributes:
        names: of the members' presets.
        members: parameters of each; what is one for the layer (dt, order, gain) is the first one's.
        member_of: (N,) int64, the member of each neuron; members lie side by side.
    """

    names: tuple[str, ...]
    members: tuple[IzhikevichParameters, ...]
    member_of: Tensor

    @classmethod
    def of(cls, shares: Mapping[str, float], size: int, order: str | None = None) -> Mixture:
        """Divide a layer of that size in proportion to the presets' shares.

        Args:
            shares: preset → share.
            size: N.
            order: event order in place of the first preset's.

        Raises:
            SettingError: for shares that are not above 0 or do not add up to 1, members of different
                units, or fewer neurons than members.
        """
        if not shares:
            raise SettingError("mixture is empty, expected shares such as RS=.5,FS=.5")
        for name, share in shares.items():
            if not (math.isfinite(share) and share > 0):
                raise SettingError(f"mixture gives {name} {share!r}, expected a share above 0")
        total = sum(shares.values())
        if abs(total - 1) > 1e-6:
            raise SettingError(f"the shares of mixture add up to {total:g}, expected 1")
        members = tuple(preset(name) for name in shares)
        members = tuple(p.replace(order=order or members[0].order) for p in members)
        if len({p.unit for p in members}) > 1:
            raise SettingError("mixture holds presets in mV and normalised ones, expected one of the two")
        if size < len(members):
            raise SettingError(f"a layer of {size} cannot hold a mixture of {len(members)}")
        # Whole neurons by largest remainder.
        exact = torch.tensor(list(shares.values()), dtype=torch.float64) * size
        counts = exact.floor().long()
        counts[(counts - exact).argsort(stable=True)[: size - int(counts.sum())]] += 1
        member_of = torch.arange(len(members)).repeat_interleave(counts)
        return cls(tuple(shares), members, member_of)

    def values(self, name: str) -> Tensor | float:
        """A coefficient or initial value of every neuron, (N,); a float where all agree."""
        each = [float(getattr(p, name)) for p in self.members]
        return each[0] if len(set(each)) == 1 else torch.tensor(each)[self.member_of]


__all__ = ["Mixture"]
