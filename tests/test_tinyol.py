"""A TinyOL head learns sample by sample, grows, survives, and is worth its place."""

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from needed import go_without
from numpy.typing import NDArray
from tflite_files import dense_model
from typer.testing import CliRunner

from tinyfleet import (
    Assignment,
    DatasetError,
    FleetError,
    KernelLearner,
    NetworkError,
    StudyError,
    Task,
    Training,
    TrainingError,
)
from tinyfleet.client.head import (
    CLIP,
    Head,
    Scaling,
    fresh_head,
    head_network,
    warm_head,
    with_class,
)
from tinyfleet.client.head_file import load_head, save_head
from tinyfleet.client.stream import Recording, Sample, load_recordings
from tinyfleet.client.tflite import Tensor, load_model
from tinyfleet.client.tinyol import TinyOL, follow_stream
from tinyfleet.client.tinyol_commands import tinyol
from tinyfleet.network import Loss
from tinyfleet.simulations.keyword_heads import compare, load_takes

Floats = NDArray[np.float32]
CLASSES = ("no", "stop", "yes")


def drawn(samples: int, features: int = 6, seed: int = 0) -> tuple[Floats, list[str]]:
    """Draw features around a centre of each class, and their labels."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(0, 2, (len(CLASSES), features))
    which = generator.integers(len(CLASSES), size=samples)
    z = centres[which] + generator.normal(0, 1, (samples, features))
    return z.astype(np.float32), [CLASSES[i] for i in which]


def new_head(features: int = 6, *, hidden: int = 0, loss: Loss = "softmax-cross-entropy") -> Head:
    network = head_network(features, len(CLASSES), hidden=hidden, loss=loss)
    return fresh_head(network, CLASSES, rate=0.05, seed=3)


def learned(head: Head, z: Floats, labels: list[str]) -> TinyOL:
    learner = TinyOL(head)
    for features, label in zip(z, labels, strict=True):
        learner.classify(features, label)
    return learner


def scaled(z: Floats) -> tuple[Scaling, Floats]:
    """Return the scaling after all of `z`, and each sample as the head saw it."""
    zeros = np.zeros(z.shape[1])
    scaling, seen = Scaling(0, zeros, zeros), []
    for features in z:
        scaling = scaling.seen(features)
        seen.append(scaling.standardised(features))
    return scaling, np.array(seen)


def same_head(one: Head, other: Head) -> bool:
    numbers = [(h.samples, h.labelled, h.hits, h.rate, h.classes) for h in (one, other)]
    return (
        numbers[0] == numbers[1]
        and one.network == other.network
        and one.weights.tobytes() == other.weights.tobytes()
        and one.scaling.mean.tobytes() == other.scaling.mean.tobytes()
        and one.scaling.squares.tobytes() == other.scaling.squares.tobytes()
    )


def test_the_running_scaling_is_the_stream_s_mean_and_variance() -> None:
    z = drawn(500)[0] + np.float32(1000)

    scaling, _ = scaled(z)

    exact = z.astype(np.float64)
    np.testing.assert_allclose(scaling.mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaling.squares / 500, exact.var(axis=0), rtol=1e-9)


def test_a_feature_that_never_changed_stands_at_zero_and_wakes_within_bounds() -> None:
    scaling, seen = scaled(np.array([[5.0]] * 1000, np.float32))

    assert not seen.any()
    woken = scaling.seen(np.array([6.0], np.float32))
    assert woken.standardised(np.array([6.0], np.float32)).tolist() == [CLIP]


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("loss", ["softmax-cross-entropy", "sigmoid-cross-entropy", "mean-square"])
def test_a_head_learns_the_bits_of_the_kernel(loss: Loss, hidden: int) -> None:
    head, (z, labels) = new_head(hidden=hidden, loss=loss), drawn(200)
    y = np.array([[float(c == label) for c in CLASSES] for label in labels], np.float32)
    nothing = np.empty((0, 6), np.float32), np.empty((0, 3), np.float32)
    task = Task(scaled(z)[1], y, *nothing)

    update = KernelLearner(head.network).learn(
        Assignment(1, head.weights, Training(rate=0.05)), task
    )

    assert learned(head, z, labels).head.weights.tobytes() == update.values.tobytes()


def test_a_sigmoid_step_follows_the_right_gradient() -> None:
    network = head_network(2, 1, loss="sigmoid-cross-entropy")
    head = fresh_head(network, ("on",), rate=0.5, seed=0)
    before = replace(
        head,
        weights=np.array([0.3, -0.2, 0.1], np.float32),
        scaling=Scaling(1, np.array([1.0, 2.0]), np.array([2.0, 8.0])),
    )
    z = np.array([3.0, 6.0], np.float32)

    after = learned(before, z[None], ["on"]).head.weights

    a = before.scaling.seen(z).standardised(z)
    off = 1 / (1 + math.exp(-(0.3 * a[0] - 0.2 * a[1] + 0.1))) - 1  # (y' - y)
    expected = [0.3 - 0.5 * off * a[0], -0.2 - 0.5 * off * a[1], 0.1 - 0.5 * off]
    np.testing.assert_allclose(after, expected, rtol=1e-6)


def test_a_sample_is_scored_before_it_is_learned() -> None:
    z, labels = drawn(40)
    learner = TinyOL(new_head())

    for features, label in zip(z, labels, strict=True):
        before = TinyOL(learner.head).classify(features)
        scored = learner.classify(features, label)
        assert scored.outputs.tobytes() == before.outputs.tobytes()
        assert scored.hit == (before.predicted == label)


def test_accuracy_rises_along_the_stream() -> None:
    z, labels = drawn(400)

    half = learned(new_head(), z[:200], labels[:200]).head
    whole = learned(new_head(), z, labels).head

    assert half.accuracy < whole.accuracy
    assert whole.hits - half.hits > 180


def test_a_sample_without_a_label_moves_the_scaling_alone() -> None:
    head = learned(new_head(), *drawn(10)).head

    learner = TinyOL(head)
    score = learner.classify(np.ones(6, np.float32))

    assert (score.loss, score.hit) == (None, None)
    assert learner.head.weights is head.weights
    assert (learner.head.samples, learner.head.labelled) == (11, 10)
    assert learner.head.scaling.count == 11


@pytest.mark.parametrize("hidden", [0, 4])
def test_a_new_class_leaves_what_others_say(hidden: int) -> None:
    head = learned(new_head(hidden=hidden), *drawn(50)).head
    z = np.linspace(-1, 1, 6).astype(np.float32)

    grown = with_class(head, "go")

    before, after = TinyOL(head).classify(z).outputs, TinyOL(grown).classify(z).outputs
    assert grown.classes == (*CLASSES, "go")
    assert after[:3].tobytes() == before.tobytes()
    assert after[3] == 0.0


def test_an_unheard_label_is_a_miss_and_then_learned() -> None:
    learner = learned(new_head(), *drawn(50))
    z = np.full(6, 5, np.float32)

    first = learner.classify(z, "go")
    for _ in range(20):
        last = learner.classify(z, "go")

    assert first.hit is False
    assert (last.predicted, last.hit) == ("go", True)
    assert learner.head.network.outputs == 4


def test_a_warm_head_knows_all_and_has_counted_nothing() -> None:
    deployed = learned(new_head(), *drawn(50)).head

    warm = warm_head(deployed, rate=0.01)

    assert warm.weights is deployed.weights
    assert warm.scaling is deployed.scaling
    assert (warm.samples, warm.labelled, warm.hits, warm.rate) == (0, 0, 0, 0.01)


def test_a_head_without_names_estimates_numbers() -> None:
    generator = np.random.default_rng(0)
    z = generator.normal(0, 1, (600, 3)).astype(np.float32)
    y = (z @ np.array([[1], [-2], [0.5]]) + 3).astype(np.float32)
    learner = TinyOL(fresh_head(head_network(3, 1, loss="mean-square"), rate=0.05, seed=0))

    losses = [learner.estimate(*pair).loss or 0.0 for pair in zip(z, y, strict=True)]

    assert np.mean(losses[:50]) > 1.0
    assert np.mean(losses[-50:]) < 0.02


def test_a_rate_that_ruins_the_head_is_refused_and_undone() -> None:
    network = head_network(2, 1, loss="mean-square")
    learner = TinyOL(fresh_head(network, rate=1e30, seed=0))
    x, y = np.array([1, -1], np.float32), np.array([1e15], np.float32)

    learner.estimate(-x, y * 0)
    before = learner.head

    with pytest.raises(TrainingError, match=r"sample 2: .* lower the rate"):
        learner.estimate(x, y)
    assert learner.head is before


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda t: t.classify(np.zeros(5, np.float32)), NetworkError, r"got \(5,\)"),
        (lambda t: t.classify(np.full(6, np.nan, np.float32)), DatasetError, "finite"),
        (lambda t: t.estimate(np.zeros(6, np.float32), np.zeros(2, np.float32)), NetworkError,
         "3 outputs"),
        (lambda t: t.classify(np.zeros(6, np.float32), "a\nb"), NetworkError, "printable"),
        (lambda t: with_class(t.head, "yes"), NetworkError, "different names"),
        (lambda t: replace(t.head, rate=0.0), TrainingError, "rate"),
        (lambda t: replace(t.head, hits=1), NetworkError, "hits <= labelled"),
        (lambda t: replace(t.head, classes=("a", "b")), NetworkError, "3 outputs, got 2 names"),
    ],
)  # fmt: skip
def test_what_does_not_fit_a_head_is_refused(
    wrong: Callable[[TinyOL], object], error: type[FleetError], text: str
) -> None:
    learner = TinyOL(new_head())
    head = learner.head

    with pytest.raises(error, match=text):
        wrong(learner)
    assert learner.head is head


def test_a_saved_head_comes_back_to_the_bit_and_is_the_same_file(tmp_path: Path) -> None:
    head = learned(new_head(hidden=4), *drawn(30)).head
    save_head(tmp_path / "a.npz", head)

    again = load_head(tmp_path / "a.npz")
    save_head(tmp_path / "b.npz", again)

    assert same_head(head, again)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_damaged_head_is_refused_or_unchanged(tmp_path: Path) -> None:
    head = learned(new_head(), *drawn(30)).head
    path = tmp_path / "head.npz"
    save_head(path, head)
    content = path.read_bytes()

    refused = 0
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0x41
        path.write_bytes(damaged)
        try:
            assert same_head(load_head(path), head), place
        except DatasetError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017
            refused += 1
    assert refused > len(content) / 7 / 2


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_cut_head_is_refused(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "head.npz"
    save_head(path, new_head())
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])

    with pytest.raises(DatasetError, match=r"head\.npz: expected a \.npz archive"):
        load_head(path)


def test_a_stream_is_read_alike_from_npz_and_csv(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("a,label,b,device\n1,yes,2,7\n3,,4,2\n5,no,6.5,7\n")
    np.savez(
        tmp_path / "s.npz",
        x=np.array([[1, 2], [3, 4], [5, 6.5]]),
        label=np.array(["yes", "", "no"]),
        device=np.array([7, 2, 7]),
    )

    for name in ("s.csv", "s.npz"):
        found = load_recordings(tmp_path / name, (1, 2))
        assert list(found) == [2, 7]
        assert found[7].x.tolist() == [[[1, 2]], [[5, 6.5]]]
        assert found[7].labels == ("yes", "no")
        assert found[2].labels == (None,)


def test_whole_numbers_are_labels_but_those_below_zero(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=np.zeros((3, 2), np.int8), label=np.array([4, -1, 0]))

    assert load_recordings(tmp_path / "s.npz", (2,))[0].labels == ("4", None, "0")


CODES = Tensor("x", (2,), "int8", scale=0.5, zero_point=-3)


def test_whole_numbers_of_the_input_s_own_type_are_its_codes(tmp_path: Path) -> None:
    np.savez(tmp_path / "codes.npz", x=np.array([[-1, -4]], np.int8))
    np.savez(tmp_path / "real.npz", x=np.array([[1.0, -0.5]], np.float32))

    codes = load_recordings(tmp_path / "codes.npz", (2,), CODES)
    real = load_recordings(tmp_path / "real.npz", (2,), CODES)

    assert codes[0].x.tolist() == real[0].x.tolist() == [[1.0, -0.5]]
    assert CODES.quantised(codes[0].x).tolist() == [[-1, -4]]


def test_whole_numbers_of_another_type_are_no_codes(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=np.array([[1, 2]], np.int64))

    with pytest.raises(DatasetError, match=r"real values as float32, or codes as int8, .* int64"):
        load_recordings(tmp_path / "s.npz", (2,), CODES)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    done = CliRunner().invoke(tinyol, [*recorded(tmp_path, 20), "--out", str(tmp_path / "file/x")])

    assert isinstance(done.exception, StudyError)
    assert "file/x: expected a folder that can be made and read, got Not a" in str(done.exception)
    assert "Errno" not in str(done.exception)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"y": np.zeros(2)}, "x: expected the samples under this name"),
        ({"x": np.zeros((2, 3))}, r"samples of \(2,\), which is 2 numbers, got \(3,\)"),
        ({"x": np.array([[0, np.nan]])}, r"x: expected finite numbers, got nan at \[0, 1\]"),
        ({"x": np.array([[0, 1e39]])}, "x: expected finite numbers, got inf"),
        ({"x": np.array([["a", "b"]])}, "expected samples of numbers"),
        ({"x": np.zeros((2, 2)), "label": np.zeros(3, int)}, r"label: .* got int64 of \(3,\)"),
        ({"x": np.zeros((2, 2)), "device": np.array([0, -1])}, "device: expected 0 or more"),
        ({"x": np.zeros((0, 2))}, "expected samples of numbers"),
        ({"x": np.array([{}, {}])}, "expected a .npz archive of plain arrays"),
    ],
)
def test_a_wrong_recording_is_refused(
    tmp_path: Path, arrays: dict[str, NDArray[np.generic]], text: str
) -> None:
    np.savez(tmp_path / "s.npz", allow_pickle=True, **arrays)

    with pytest.raises(DatasetError, match=text):
        load_recordings(tmp_path / "s.npz", (2,))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a,b\n", "a header and a line for each sample"),
        (b"a,b\n1,2\n3\n", "line 3: expected 2 cells, got 1"),
        (b"a,b\n1,two\n", "line 2: expected numbers"),
        (b"a,b,device\n1,2,x\n", "device: expected whole numbers"),
        (b"\xff\xfea\n", "expected CSV in UTF-8"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "s.csv").write_bytes(content)

    with pytest.raises(DatasetError, match=text):
        load_recordings(tmp_path / "s.csv", (2,))


def test_any_stream_can_feed_a_head(tmp_path: Path) -> None:
    model = load_model(two_layers(tmp_path))
    x, labels = drawn(60, 4)
    stream = [Sample(*pair) for pair in zip(x, labels, strict=True)]

    listening = TinyOL(new_head(3))
    scores = list(follow_stream(listening, model.features, stream))

    assert len(scores) == listening.head.labelled == 60
    assert same_head(listening.head, learned(new_head(3), model.features(x), labels).head)


def test_a_bad_sample_of_a_stream_is_numbered(tmp_path: Path) -> None:
    model = load_model(two_layers(tmp_path))
    stream = Recording(np.array([[0] * 4, [np.inf] * 4], np.float32), ("no", "no"))

    with pytest.raises(DatasetError, match="sample 2: x: expected finite"):
        list(follow_stream(TinyOL(new_head(3)), model.features, stream))


def two_layers(folder: Path) -> Path:
    """Write a model 4-3-2."""
    draw = np.random.default_rng(1)
    layers = [(draw.normal(size=(4, 3)), np.zeros(3)), (draw.normal(size=(3, 2)), np.zeros(2))]
    return dense_model(folder / "model.tflite", layers)


def recorded(folder: Path, samples: int) -> list[str]:
    """Write a model and a stream of two devices; return the arguments of a run."""
    x, labels = drawn(samples, 4)
    device = np.arange(samples) % 2
    np.savez(folder / "stream.npz", x=x, label=np.array(labels), device=device)
    model = two_layers(folder)
    return ["run", "--model", str(model), "--stream", str(folder / "stream.npz")]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_command_gives_each_device_its_head_and_scores(tmp_path: Path) -> None:
    arguments, out = recorded(tmp_path, 100), tmp_path / "out"

    done = CliRunner().invoke(tinyol, [*arguments, "--out", str(out), "--json"])

    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [device["samples"] for device in told["devices"]] == [50, 50]
    for number, device in enumerate(told["devices"]):
        head = load_head(out / f"device-{number}" / "head.npz")
        lines = (out / f"device-{number}" / "scores.jsonl").read_text().splitlines()
        assert head.classes == CLASSES
        assert json.loads(lines[-1])["accuracy"] == head.accuracy == device["accuracy"]
        assert sum(json.loads(line)["hit"] for line in lines) == head.hits
    assert "<svg" in (out / "accuracy.svg").read_text()


def test_the_command_shows_a_table(tmp_path: Path) -> None:
    done = CliRunner().invoke(tinyol, recorded(tmp_path, 40), env={"COLUMNS": "100"})

    assert done.exit_code == 0, done.output
    for word in ("device", "labelled", "accuracy %", "second half %", "mean"):
        assert word in done.stdout


def test_classes_join_while_the_command_runs(tmp_path: Path) -> None:
    arguments = [*recorded(tmp_path, 60), "--labels", "yes", "--json"]

    told = json.loads(CliRunner().invoke(tinyol, arguments).stdout)

    for device in told["devices"]:
        assert device["classes"][0] == "yes"
        assert sorted(device["classes"]) == list(CLASSES)


def test_a_warm_head_starts_better(tmp_path: Path) -> None:
    arguments, out = recorded(tmp_path, 60), tmp_path / "out"
    runner = CliRunner()
    fresh = json.loads(runner.invoke(tinyol, [*arguments, "--json", "--out", str(out)]).stdout)
    head = out / "device-0" / "head.npz"

    warm = json.loads(runner.invoke(tinyol, [*arguments, "--json", "--warm", str(head)]).stdout)

    assert warm["accuracy"] > fresh["accuracy"]


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    arguments = [*recorded(tmp_path, 20), "--out", str(tmp_path / "out")]
    runner = CliRunner()
    runner.invoke(tinyol, arguments)

    done = runner.invoke(tinyol, [*arguments, "--rate", "0.1"])

    assert isinstance(done.exception, StudyError)
    assert "got one of another rate" in str(done.exception)


def test_scores_that_were_lost_are_noticed(tmp_path: Path) -> None:
    arguments = [*recorded(tmp_path, 20), "--out", str(tmp_path / "out")]
    runner = CliRunner()
    runner.invoke(tinyol, arguments)
    (tmp_path / "out" / "device-0" / "scores.jsonl").write_text("")

    done = runner.invoke(tinyol, arguments)

    assert isinstance(done.exception, StudyError)
    assert "expected 10 lines of scores, got 0" in str(done.exception)


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    arguments = recorded(tmp_path, 6000)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    code = "from tinyfleet.client.tinyol_commands import tinyol; tinyol()"
    command = [sys.executable, "-c", code, *arguments, "--json", "--out", str(cut)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (cut / "device-0" / "head.npz").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert load_head(cut / "device-0" / "head.npz").samples > 0
    runner = CliRunner()

    assert runner.invoke(tinyol, [*arguments, "--out", str(cut)]).exit_code == 0
    assert runner.invoke(tinyol, [*arguments, "--out", str(whole)]).exit_code == 0

    assert files(cut) == files(whole)


def test_a_warm_head_beats_frozen_answers_on_unseen_speakers(
    data_folder: Path, keyword_model: Path
) -> None:
    takes = load_takes(keyword_model, data_folder / "keywords_mfcc49x10.npz")

    found = {name: scores.mean() for name, scores in compare(takes, 6, 1, seed=0).items()}

    assert found["warm"] > found["frozen"] + 2 > found["means"] + 2
    assert found["warm"] > found["fresh"] + 10
    assert found["joined"] > 50  # where a frozen head would have none


@pytest.fixture
def keyword_model(data_folder: Path) -> Path:
    folder = data_folder.parent / "reference" / "seloc-ml" / "models"
    path = folder / "ARM_DS_CNN_Small_.tflite"
    if not path.exists():
        go_without(f"real models: no {path}")
    return path
