"""A sweep whose workflow outgrows what Argo and Kubernetes hold is refused before it starts, with what would fit."""

import re

import pytest
from helpers.kfp_server import IMAGE, rlready

from rlready.config import parse_parameters
from rlready.config.recipes import load_recipe
from rlready.errors import InputError
from rlready.placement.placement import parse_placement
from rlready.run.kfp import limits
from rlready.run.kfp.package import write_package

HOW = ("separate", "every-epoch")
SEEDS = "sweep_seeds=0,1"  # 2 seeds x 6 settings
OPEN = ["gate_max_rl_runs=0", "gate_audit_fraction=0"]  # the recipe has a budget and an audit of its own
MANY = [part for given in (SEEDS, *OPEN) for part in ("--set", given)]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "laptop.yaml"
    write_package(path, load_recipe("laptop", []), parse_placement(None), IMAGE)
    return path


@pytest.fixture(autouse=True)
def limit(monkeypatch, package):
    """Lowers what a cluster holds to ten candidates with RL, so that a small sweep meets it; returns it in KiB."""
    held = limits.estimate_bytes(package.stat().st_size, 11, 10)
    monkeypatch.setattr(limits, "WORKFLOW", held)
    return f"{held // 1024:,}"


def test_a_refusal_says_how_many_fit_and_they_do(package, limit):
    with pytest.raises(InputError) as caught:
        limits.check_size(package, load_recipe("laptop", [*OPEN, SEEDS]))
    line = str(caught.value)
    assert "\n" not in line and re.match(
        rf"sweep: 12 candidates and RL for up to 12 would make the workflow .* KiB, of {limit}", line
    )
    fitting, budget = map(int, re.search(r"; (\d+) fit: .*with gate_max_rl_runs=(\d+) all 12 do", line).groups())
    grid = ["sweep_candidates=", "sweep_subsets=random"]
    epochs = [",".join(map(str, range(1, count + 1))) for count in (fitting, fitting + 1)]
    limits.check_size(package, load_recipe("laptop", [*OPEN, *grid, f"sweep_epochs={epochs[0]}"]))
    limits.check_size(package, load_recipe("laptop", [*OPEN, SEEDS, f"gate_max_rl_runs={budget}"]))
    for more in ([*grid, f"sweep_epochs={epochs[1]}"], [SEEDS, f"gate_max_rl_runs={budget + 1}"]):
        with pytest.raises(InputError, match="fit: split the sweep"):
            limits.check_size(package, load_recipe("laptop", [*OPEN, *more]))


def test_what_does_not_fit_at_all_says_so(package, monkeypatch):
    monkeypatch.setattr(limits, "WORKFLOW", limits.WHOLE.fixed)
    with pytest.raises(InputError, match="up to .* KiB, of 154 allowed; shorten the texts"):
        limits.check_size(package, load_recipe("laptop", []))
    with pytest.raises(InputError, match=r"parameters: \d+ KiB of JSON, of 20 allowed on a cluster; shorten the texts"):
        limits.check_size(package, load_recipe("laptop", []) | {"sampling_stop": ["a" * 20480]})


def test_checkpoints_of_one_training_are_measured_in_one_task(package):
    grid = [
        *OPEN,
        "rl_steps=0",
        "sweep_candidates=",
        "sweep_subsets=random",
        f"sweep_epochs={','.join(map(str, range(1, 21)))}",
    ]
    sizes = [limits.check_size(package, load_recipe("laptop", [*grid, f"sweep_checkpoints={how}"])) for how in HOW]
    count = package.stat().st_size
    assert [size.split()[2] for size in sizes] == [f"{limits.estimate_bytes(count, n, 0) // 1024:,}" for n in (21, 2)]


@pytest.mark.parametrize(
    ("changes", "approved"),
    [
        ([], 20),
        (["gate_max_rl_runs=3"], 3),
        (["gate_max_rl_runs=30"], 20),
        (["gate_max_rl_runs=3", "gate_audit_fraction=0.25"], 8),
        (["gate_max_rl_runs=3", "gate_mode=audit"], 20),
        (["gate_max_rl_runs=3", "gate_mode=off"], 20),
    ],
)
def test_rl_is_counted_for_as_many_as_the_gate_may_send_there(changes, approved):
    assert limits.count_approved(parse_parameters(load_recipe("laptop", [*OPEN, *changes])).gate, 20) == approved


@pytest.mark.parametrize(
    ("changes", "finalists"),
    [
        ([], None),
        (["race_steps=100"], 8),
        (["race_steps=100", "race_keep=3"], 3),
        (["race_steps=100", "race_keep=9"], 8),
        (["race_steps=100", "race_keep=3", "race_audit_fraction=0.2"], 4),
    ],
)
def test_the_rest_of_rl_is_counted_for_as_many_as_the_race_may_let_go_on(changes, finalists):
    race = parse_parameters(load_recipe("laptop", changes)).race
    assert limits.count_finalists(race, 8) == finalists


def test_compile_and_submit_refuse_and_write_or_send_nothing(server, monkeypatch, capsys, tmp_path):
    path = tmp_path / "laptop.yaml"
    assert rlready(monkeypatch, "compile", "--output", str(path), *MANY) == 2
    assert not path.exists()
    assert rlready(monkeypatch, "submit", "--image", IMAGE, *MANY) == 2
    assert not any(server.made.values())
    assert capsys.readouterr().err.count("fit: split the sweep") == 2
    # A workflow with RL for one candidate only would hold more than plan allows.
    small = ("--set", "sweep_seeds=" + ",".join(map(str, range(11))), "--set", "gate_max_rl_runs=1")
    assert rlready(monkeypatch, "submit", "--image", IMAGE, *small, "--set", "gate_audit_fraction=0") == 2
    assert not any(server.made.values())
    assert "66 candidates, but 64 fit in one run" in capsys.readouterr().err


def test_plan_refuses_what_a_cluster_cannot_hold_only_where_the_recipe_goes_to_one(monkeypatch, capsys, tmp_path, limit):
    assert rlready(monkeypatch, "plan", *MANY) == 0
    assert "workflow    too large for a cluster: sweep: 12 candidates" in capsys.readouterr().out
    recipe = tmp_path / "recipe.yaml"
    laptop = "parameters: {base_model: 'builtin:list-machine', curate_sft_data: 'builtin:list-machine', " \
        "curate_evaluation_data: 'builtin:list-machine', curate_sft_examples: 1024}\nplacement: {all: {cpus: 2}}\n"  # fmt: skip
    recipe.write_text(laptop)
    assert rlready(monkeypatch, "plan", "--recipe", str(recipe)) == 0
    assert re.search(
        rf"workflow    at most \d+ of {limit} KiB with RL for 3 of 3 candidates, on a cluster",
        capsys.readouterr().out,
    )
    many = "sweep_seeds=" + ",".join(map(str, range(10)))
    assert rlready(monkeypatch, "plan", "--recipe", str(recipe), "--set", many) == 2
    assert "30 candidates" in capsys.readouterr().err
    assert rlready(monkeypatch, "plan", "--set", "sweep_seeds=" + ",".join(map(str, range(11)))) == 2
    assert "66 candidates, but 64 fit in one run" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{{workflow.name}}", "$$", "$(HOME)"])
def test_what_argo_and_kubernetes_would_fill_in_is_refused_by_name(text):
    with pytest.raises(InputError, match=r"sampling_stop holds (\{\{|\$\$|\$\(), which Argo or Kubernetes would fill in"):
        limits.check_texts({"gate_k": 4, "sampling_stop": ["}}", text]})
    limits.check_texts({"sweep_attempts": {"a": {"b": {}}}, "sampling_stop": ["}}", "$", "{", "$5", text[0]]})
