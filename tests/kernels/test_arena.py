"""Large tensors of CPU kernels use memory again that nothing refers to, and never memory that something does."""

import threading
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

import izhi
from izhi.kernels.cpu import arena
from izhi.network import Network

LARGE = 1 << 17  # float32 values: twice the bytes from which memory is kept
pytestmark = pytest.mark.skipif(arena._references is None, reason="this torch does not count references to memory")


@pytest.fixture
def own(monkeypatch):
    """An arena of this test's own."""
    made = arena.Arena()
    monkeypatch.setattr(arena, "_ARENA", made)
    return made


def test_memory_is_used_again_once_nothing_refers_to_it(own):
    first = arena.empty(LARGE)
    where = first.data_ptr()
    view = first[5:]
    del first
    second = arena.empty(LARGE)
    assert second.data_ptr() != where, "a view refers to the first"
    array = view.numpy()
    del view
    assert arena.empty(LARGE).data_ptr() not in (where, second.data_ptr()), "an array refers to it"
    del array
    assert arena.empty(2, LARGE // 2, dtype=torch.int32).data_ptr() == where


def test_what_is_saved_for_the_backward_pass_is_in_use(own):
    weight = torch.ones(LARGE, requires_grad=True)
    x = arena.empty(LARGE).fill_(3)
    loss = (x * weight).sum()
    del x
    arena.empty(LARGE).fill_(7)
    loss.backward()
    assert (weight.grad == 3).all()


def test_small_tensors_and_other_strides_are_torchs_own(own):
    assert arena.empty(10).shape == (10,)
    assert arena.empty_like(torch.ones(LARGE, 2).t()).stride() == (1, 2)
    assert own.bytes_held == 0
    assert arena.empty_like(torch.ones(2, LARGE, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert own.bytes_held == 4 * LARGE


def test_memory_that_another_process_may_read_is_not_used_again(own):
    shared = arena.empty(LARGE).share_memory_()
    where = shared.data_ptr()
    del shared
    assert arena.empty(LARGE).data_ptr() != where


def test_memory_of_another_size_is_left_to_its_own(own):
    x = arena.empty(LARGE)
    x.resize_(4 * LARGE)
    x.untyped_storage().resize_(0)
    del x
    found = arena.empty(LARGE).fill_(1)
    assert found.sum() == LARGE


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=5), min_size=1, max_size=8))
def test_at_most_twice_is_held_what_was_in_use_at_one_time(rounds):
    made, most = arena.Arena(), 0
    for sizes in rounds:
        tensors = [made.empty((n * LARGE,), torch.float32) for n in sizes]
        assert len({x.data_ptr() for x in tensors}) == len(tensors)
        most = max(most, 4 * LARGE * sum(sizes))
        assert made.bytes_held <= arena._AT_MOST * most * arena._WIDE
        del tensors
    made.release()
    assert made.bytes_held == 0


def networks(seed=0):
    torch.manual_seed(seed)
    sizes, layers = (784, 256, 64, 10), []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), izhi.Izhikevich("normalized")]
    return Network(layers)


def losses(network, number, seed=1):
    """The losses of an own loop's steps."""
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    random = torch.Generator().manual_seed(seed)
    for _ in range(number):
        x = (torch.rand(20, 64, 784, generator=random) < 0.1).float()
        output, _ = network(x)
        loss = nn.functional.cross_entropy(output.sum(0), torch.arange(64) % 10)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def test_an_own_loop_takes_no_memory_after_its_first_steps(own):
    steps = losses(networks(), 6)
    held = []
    for _ in range(6):
        next(steps)
        held.append(sorted(x.data_ptr() for x in own._pieces))
    assert held[0]
    assert held[2] == held[3] == held[4] == held[5]


def test_networks_in_turns_and_after_an_exception_compute_what_each_does_alone(own):
    alone = [list(losses(networks(seed), 4, seed)) for seed in (1, 2)]
    loops = [losses(networks(seed), 4, seed) for seed in (1, 2)]
    found = [[], []]
    broken = networks(3)
    for _ in range(4):
        for loop, one in zip(loops, found, strict=True):
            one.append(next(loop))
        with pytest.raises(izhi.errors.IzhiError):
            broken(torch.ones(20, 64, 783))
    assert found == alone


def test_outputs_of_two_calls_before_one_backward_pass_keep_their_gradients(own):
    network = networks()
    x = [(torch.rand(20, 64, 784) < p).float() for p in (0.05, 0.15)]
    for one in x:
        network(one)[0].sum().backward()
    expected = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    sum(network(one)[0].sum() for one in x).backward()
    for p, wanted in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())


def test_threads_do_not_share_memory_in_use(own):
    alone = [list(losses(networks(seed), 3, seed)) for seed in range(3)]
    made, found = [networks(seed) for seed in range(3)], [None] * 3  # one generator draws the weights of all threads

    def train(seed):
        found[seed] = list(losses(made[seed], 3, seed))

    threads = [threading.Thread(target=train, args=(seed,)) for seed in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    # Torch may compute products of matrices in other threads by other numbers of threads.
    for one, wanted in zip(found, alone, strict=True):
        assert one == pytest.approx(wanted, rel=1e-4)
