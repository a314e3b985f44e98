"""Descriptions of networks: without torch, as plain tables and back, with shapes and counts, and what does not fit."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from izhi.errors import IzhiError, SettingError, ShapeError
from izhi.network.encoders import build_encoder
from izhi.spec import (
    NEURONS,
    PRESETS,
    Augmentation,
    ConductanceSpec,
    ConvolutionSpec,
    DelaySpec,
    EventEncoderSpec,
    FlattenSpec,
    IzhikevichSpec,
    LayerSpec,
    LIFSpec,
    LinearSpec,
    MixtureSpec,
    NetworkSpec,
    NeuronEntry,
    NormSpec,
    PoolSpec,
    ResidualSpec,
    RowEncoderSpec,
    SeriesEncoderSpec,
    SurrogateSpec,
    SynapseSpec,
    UnflattenSpec,
    ValueEncoderSpec,
    encoder_of_table,
    entry_of,
    entry_of_preset,
    neuron_spec,
    preset_names,
    register,
)

CONVOLUTION = ConvolutionSpec(inputs=1, outputs=4, kernel=(3, 2), stride=(1, 2), padding=(1, 0))
NETWORK = NetworkSpec((
    UnflattenSpec((1, 4, 6)),
    LayerSpec(CONVOLUTION, LIFSpec(size=(4, 1, 1), learn=("beta",)), (4, 4, 3), norm=NormSpec()),
    PoolSpec("max", (2, 3), (2, 3)),
    FlattenSpec(),
    LayerSpec(
        LinearSpec(inputs=8, outputs=6, recurrent=True, synapse=ConductanceSpec(5.0, inhibitory=0.25)),
        neuron_spec("RS").replace(learn=("c", "d"), surrogate=SurrogateSpec("sigmoid", (3.0,))), (6,),
        DelaySpec("synaptic", 3), weight_bits=4,
    ),
    ResidualSpec((LayerSpec(LinearSpec(inputs=6, outputs=6), LIFSpec(reset="value", v_reset=-0.5), (6,)),)),
), LinearSpec(inputs=6, outputs=3, bias=False, synapse=SynapseSpec(4.0)))  # fmt: skip


def test_descriptions_and_settings_load_no_torch():
    code = """
import sys
sys.modules["torch"] = None
import izhi.spec
import izhi
izhi.PRESETS
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_tables_hold_a_network_whole():
    tables = json.loads(json.dumps(NETWORK.tables()))
    assert NetworkSpec.of_tables(tables) == NETWORK
    mixture = IzhikevichSpec(size=(5,), mixture=MixtureSpec((("RS", 0.5), ("FS", 0.5)), "snntorch"), spread=0.5)
    layer = LayerSpec(LinearSpec(inputs=2, outputs=5), mixture, (5,))
    assert NetworkSpec.of_tables(json.loads(json.dumps(NetworkSpec((layer,)).tables()))).layers == (layer,)


def test_shapes_and_counts_of_a_network():
    assert [out for _, _, out in NETWORK.walk((24,))] == [(1, 4, 6), (4, 4, 3), (4, 2, 1), (8,), (6,), (6,)]
    assert (NETWORK.inputs, NETWORK.outputs, NETWORK.neurons) == (24, 3, (48, 6, 6))
    assert NETWORK.weights == 4 * 6 + (6 * 8 + 6 * 6) + 6 * 6 + 6 * 3
    assert NETWORK.numbers == NETWORK.weights + (4 + 6 + 6) + 4 + 6 * 8
    assert NETWORK.parameters == NETWORK.numbers + 4 + 2 + 2
    states = (48 * 1 + 6 * 2 + 6 * 1) * 16
    assert NETWORK.memory(8, 16) == states + 84 * 4 + (4 * 6 + 6 * 6 + 6 * 3) * 8
    assert replace(NETWORK, readout=None).outputs is None


@pytest.mark.parametrize(
    ("spec", "grid"),
    [
        (ValueEncoderSpec("rate", 9, (4, 6), shift=1), (1, 4, 6)),
        (ValueEncoderSpec("constant", 9, (24,), fields=3), (72,)),
        (RowEncoderSpec(4, (4, 6), permutation=3), (6,)),
        (RowEncoderSpec(24, (4, 6), by_pixel=True), (1,)),
        (RowEncoderSpec(3, (3, 2), permutation=(5, 0, 4, 1, 3, 2)), (2,)),
        (EventEncoderSpec(9, (2, 9, 7), 20.0, 2, augmentation=Augmentation(shift=2, warp=0.5)), (2, 5, 4)),
        (EventEncoderSpec(9, (24,), 20.0, counted=True), (24,)),
        (SeriesEncoderSpec("level", 9, 3, crossings=4, padded=True), (24,)),
    ],
)  # fmt: skip
def test_tables_hold_an_encoder_whole(spec, grid):
    assert encoder_of_table(json.loads(json.dumps(spec.table()))) == spec
    encoder = build_encoder(spec, packs=False)
    assert (encoder.features, encoder.grid, spec.grid) == (spec.features, grid, grid)
    assert (type(encoder).__name__, encoder.table(), encoder.packs) == (spec.kind, spec.table(), False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: encoder_of_table({"kind": "Morse"}), "unknown encoder 'Morse'"),
        (lambda: RowEncoderSpec(3, (10**9, 10**9), permutation=(0,)), "has 1 places, expected 0 to 999999999999999999"),
        (lambda: RowEncoderSpec(3, (3, 2), permutation=(5, 0, 4, 1, 3, 3)), "has 6 places, expected 0 to 5, each once"),
        (lambda: encoder_of_table({"kind": "RowEncoder"}), "the encoder is .'kind': 'RowEncoder'. "),
        (lambda: encoder_of_table({"kind": "RowEncoder", "steps": "9"}), "steps is '9', expected a whole number"),
        (lambda: replace(NETWORK, encoder=RowEncoderSpec(4, (4, 6))), "takes 24 features, but encoded samples have 6"),
        (lambda: NetworkSpec(()), "a network of no layers"),
        (lambda: replace(NETWORK, keep_every=3), "normalisation needs all steps at once"),
        (lambda: replace(NETWORK, dropout=1.0), "dropout is 1.0, expected a share"),
        (lambda: LinearSpec(inputs=0, outputs=2), "in_features is 0, expected at least 1"),
        (lambda: replace(CONVOLUTION, groups=3), "groups is 3, expected a divisor of in_channels, 1"),
        (lambda: replace(CONVOLUTION, recurrent=True), r"kernel_size is \(3, 2\), expected odd numbers"),
        (lambda: SynapseSpec(1.0), "tau is 1.0, expected a finite number of steps above 1"),
        (lambda: ConductanceSpec(reversal=(0.0, 0.0, 1.0)), "expected E_inh < v_rest < E_exc"),
        (lambda: DelaySpec("axonal", 0), "largest is 0, expected at least 1"),
        (lambda: LIFSpec(beta=1.5), "beta is 1.5, expected a decay from 0 to 1"),
        (lambda: LIFSpec(v_reset=-1.0), "v_reset is -1.0, which reset 'subtract' has no use for"),
        (lambda: LIFSpec(learn=("v_reset",)), "unknown learnable coefficient 'v_reset'"),
        (lambda: IzhikevichSpec(learn=("a", "b1")), "learn names 'a' beside 'b1' or 'b2'"),
        (lambda: IzhikevichSpec(jacobian_limit=0.0), "jacobian_limit is 0.0, expected a number above 0"),
        (lambda: MixtureSpec((("RS", 0.5),)), "the shares of mixture add up to 0.5, expected 1"),
        (lambda: MixtureSpec((("RS", 0.5), ("normalized", 0.5))), "mixture holds presets in mV and normalised ones"),
        (lambda: [*NETWORK.walk((25,))], "module 1: features are .25,., expected 24"),
        (lambda: CONVOLUTION.shape((1, 1, 1)), "spikes have width 1, expected at least 2 for a kernel of 2"),
        (lambda: PoolSpec("max", (3, 3), (3, 3)).shape((1, 2, 2)), "MaxPool2d does not take spikes of features"),
        (lambda: ResidualSpec((FlattenSpec(),)).shape((2, 3)), "a row gives features .6,., and its shortcut .2, 3."),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(make, message):
    with pytest.raises(IzhiError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
    assert isinstance(error.value, (SettingError, ShapeError))


def test_every_neuron_and_preset_is_registered_once():
    entries = {name: entry for name, entry in NEURONS.items() if ":" not in name}  # of the package alone
    assert list(entries) == ["lif", "izhikevich"]
    assert [name for name in preset_names() if ":" not in name] == ["lif", *PRESETS]
    for name, entry in entries.items():
        assert entry.spec.kind == entry.name == name
        assert set(entry.learnable) >= {x for preset in entry.presets.values() for x in preset.learn}
        for role in entry.executors:
            entry.load(role)
    assert (entry_of_preset("RS").name, neuron_spec("RS").unit_of_v, neuron_spec("RS").gain) == (
        "izhikevich",
        "mV",
        200,
    )
    assert entry_of("izhikevich").units["c"] == "mV"
    with pytest.raises(SettingError, match=r"unknown neuron 'normalised' \(did you mean 'normalized'\?\)"):
        neuron_spec("normalised")
    with pytest.raises(SettingError, match="neurons are lif, which have no poetry"):
        entry_of("lif").load("poetry")
    for twice in (entry_of("lif"), NeuronEntry("leaky", LIFSpec, ("v",), (), {"RS": LIFSpec()}, (1, 1))):
        with pytest.raises(SettingError, match="is registered already"):
            register(twice)


def test_a_mixture_divides_a_layer_by_largest_remainder():
    mixture = MixtureSpec((("RS", 0.5), ("FS", 0.3), ("CH", 0.2)))
    assert mixture.counts(7) == [4, 2, 1]
    assert sum(mixture.counts(101)) == 101
    with pytest.raises(SettingError, match="a layer of 2 cannot hold a mixture of 3"):
        mixture.counts(2)
