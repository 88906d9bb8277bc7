"""The placement of a recipe: what it accepts, what the compiled pipeline asks for then, and what a package must not hold."""

from typing import List  # noqa: UP035  kfp reads the annotation by name

import pytest
import yaml
from helpers.package import check_package, read_package
from kfp import compiler, dsl

from rlready.config.recipes import list_recipes, load_recipe
from rlready.errors import InputError
from rlready.placement.images import check_image
from rlready.placement.placement import load_placement, parse_placement
from rlready.run.kfp.limits import check_paths
from rlready.run.kfp.package import digest_package, write_package

IMAGE = "registry.example/rlready@sha256:" + "0" * 64
PLACEMENT = {
    "parallelism": 3,
    "all": {
        "node_selector": {"pool": "batch"},
        "queue": "research",
        "priority": "low",
        "secrets": {"rlready-hub": {"token": "HF_TOKEN"}},
        "image_pull_secrets": ["registry"],
        "hub_cache": "rlready-hub-cache",
        "environment": {"MLFLOW_TRACKING_URI": "http://mlflow.rlready:5000"},
        "retries": 2,
    },
    "sft": {"gpus": 1, "memory": "64Gi", "storage": "100Gi", "checkpoints": "rlready-checkpoints"},
    "rl": {
        "gpus": 8,
        "cpus": 1.5,
        "memory": "512Gi",
        "shared_memory": "16Gi",
        "node_selector": {"pool": "gpu"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "timeout": "24h",
    },
}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "laptop.yaml"
    write_package(path, load_recipe("laptop", []), parse_placement(PLACEMENT), IMAGE)
    return path


def test_a_pod_asks_for_what_the_placement_says(package):
    read = read_package(package)
    container, asked = read.executors["exec-rl"].container, read.kubernetes["exec-rl"]
    accelerator = container.resources.accelerator
    assert (accelerator.resource_type, accelerator.resource_count) == ("nvidia.com/gpu", "8")
    assert (container.resources.resource_cpu_request, container.resources.resource_cpu_limit) == ("1.5", "")
    assert container.resources.resource_memory_limit == container.resources.resource_memory_request == "512Gi"
    assert {e.name: e.value for e in container.env} == {
        "MLFLOW_TRACKING_URI": "http://mlflow.rlready:5000",
        "HF_HOME": "/cache/huggingface",
        "RLREADY_RETRIES": "2",
    }
    (mount,) = asked.empty_dir_mounts
    assert (mount.mount_path, mount.medium, mount.size_limit) == ("/dev/shm", "Memory", "16Gi")
    assert dict(asked.node_selector.labels) == {"pool": "gpu"}
    assert dict(asked.pod_metadata.labels) == {
        "kueue.x-k8s.io/queue-name": "research",
        "kueue.x-k8s.io/priority-class": "low",
    }
    assert (asked.tolerations[0].key, asked.tolerations[0].effect) == ("nvidia.com/gpu", "NoSchedule")
    (secret,) = asked.secret_as_env
    (key,) = secret.key_to_env
    assert (secret.secret_name, key.secret_key, key.env_var) == ("rlready-hub", "token", "HF_TOKEN")
    assert asked.pvc_mount[0].constant == "rlready-hub-cache"
    assert asked.image_pull_secret[0].secret_name == "registry"
    assert asked.active_deadline_seconds == 24 * 3600
    assert asked.field_path_as_env[0].field_path == "metadata.labels['pipeline/runid']"


def test_every_task_of_a_stage_is_placed_alike_because_the_cache_key_holds_its_claims(package):
    read = read_package(package)
    tasks = [label for label in read.executors if label.startswith("exec-sft")]
    assert len(tasks) == 2
    for label in tasks:
        assert read.executors[label].container.resources.accelerator.resource_count == "1"
        assert read.kubernetes[label] == read.kubernetes["exec-sft"]
        mounts = {mount.mount_path: mount.constant for mount in read.kubernetes[label].pvc_mount}
        assert mounts == {"/cache/huggingface": "rlready-hub-cache", "/checkpoints": "rlready-checkpoints"}
    users = {label for label, asked in read.kubernetes.items() if "rlready-checkpoints" in str(asked)}
    assert users == set(tasks)


def test_a_candidate_can_lie_on_a_claim_that_every_stage_mounts(tmp_path):
    path, volumes = tmp_path / "models.yaml", {"rlready-models": "/models"}
    parameters = load_recipe("laptop", ['sweep_candidates=[{"model": "/models/a"}]'])
    check_paths(parameters)
    placement = parse_placement({"all": {"volumes": volumes}, "rl": {"train_job": {"volume": "shared"}}})
    write_package(path, parameters, placement, IMAGE)
    read = read_package(path)
    assert check_package(path, placement) == [] and len(read.kubernetes) == len(read.executors)
    for label, asked in read.kubernetes.items():
        mounts = {mount.constant: mount.mount_path for mount in asked.pvc_mount}
        assert mounts == volumes | ({"shared": "/train-job"} if label == "exec-rl" else {})
    (manifest,) = [entry.value for entry in read.executors["exec-rl"].container.env if "TrainJob" in entry.value]
    assert '"claimName": "rlready-models"' in manifest and '"mountPath": "/models"' in manifest
    others = check_package(path, parse_placement({"gate": {"volumes": {"another": "/models"}}}))
    assert others == ["exec-gate: does not ask for volumes as the placement says"]


def test_a_process_that_fails_is_tried_again_by_its_own_pod_because_argo_never_does(package):
    read = read_package(package)
    components = [read.pipeline.root, *read.pipeline.components.values()]
    tasks = [task for component in components for task in component.dag.tasks.values()]
    assert tasks and not any(task.retry_policy.max_retry_count for task in tasks)
    for executor in read.executors.values():
        assert {entry.name: entry.value for entry in executor.container.env}["RLREADY_RETRIES"] == "2"


def test_the_loops_have_the_parallelism_of_the_placement(package):
    components = read_package(package).pipeline.components.values()
    loops = [task for c in components for task in c.dag.tasks.values() if task.parameter_iterator.items.input_parameter]
    assert [task.iterator_policy.parallelism_limit for task in loops] == [3, 3]
    assert parse_placement(None).parallelism == 8


def test_a_pod_without_gpus_starts_as_many_threads_as_it_requests_cores(tmp_path):
    for given, threads in (({"cpus": 2.5}, "2"), ({"cpus": 0.5}, "1"), ({"cpus": 8, "gpus": 1}, None), ({}, None)):
        write_package(tmp_path / "p.yaml", load_recipe("laptop", []), parse_placement({"rl": given}), IMAGE)
        environment = {e.name: e.value for e in read_package(tmp_path / "p.yaml").executors["exec-rl"].container.env}
        assert environment.get("OMP_NUM_THREADS") == threads
    own = {"cpus": 8, "environment": {"OMP_NUM_THREADS": "3"}}
    write_package(tmp_path / "p.yaml", load_recipe("laptop", []), parse_placement({"rl": own}), IMAGE)
    assert {e.name: e.value for e in read_package(tmp_path / "p.yaml").executors["exec-rl"].container.env} == own["environment"]


def test_storage_is_a_volume_of_the_pod_s_own_for_what_has_no_claim(package, tmp_path):
    read = read_package(package)
    (volume,) = read.kubernetes["exec-sft"].generic_ephemeral_volume
    assert (volume.size, volume.mount_path, list(volume.access_modes)) == ("100Gi", "/scratch", ["ReadWriteOnce"])
    environment = {entry.name: entry.value for entry in read.executors["exec-sft"].container.env}
    assert environment["TMPDIR"] == "/scratch"
    # What outlives the pod comes first.
    assert (environment["RLREADY_CHECKPOINTS"], environment["HF_HOME"]) == ("/checkpoints", "/cache/huggingface")
    assert not read.kubernetes["exec-rl"].generic_ephemeral_volume
    write_package(tmp_path / "p.yaml", load_recipe("laptop", []), parse_placement({"rl": {"storage": "100Gi"}}), IMAGE)
    container = read_package(tmp_path / "p.yaml").executors["exec-rl"].container
    environment = {entry.name: entry.value for entry in container.env}
    assert environment["RLREADY_CHECKPOINTS"].startswith("/scratch/") and environment["HF_HOME"].startswith("/scratch/")


def test_the_same_input_gives_the_same_file(tmp_path):
    parameters = load_recipe("laptop", [])
    maps = {"a": {"path": "/data/a"}, "b": {"path": "/data/b"}, "c": {"path": "/data/c"}}
    for name, order in (("one.yaml", 1), ("two.yaml", -1)):
        sources = dict(list(maps.items())[::order])
        write_package(tmp_path / name, parameters | {"curate_sources": sources}, parse_placement(PLACEMENT), IMAGE)
    assert (tmp_path / "one.yaml").read_bytes() == (tmp_path / "two.yaml").read_bytes()
    reformatted = yaml.safe_dump_all(yaml.safe_load_all((tmp_path / "one.yaml").read_text()), width=200, sort_keys=False)
    (tmp_path / "three.yaml").write_text(f"# by hand\n{reformatted}")
    assert digest_package(tmp_path / "three.yaml") == digest_package(tmp_path / "one.yaml")


def test_the_package_is_checked_against_the_placement(package):
    assert check_package(package, parse_placement(PLACEMENT)) == []
    plan = {"cpus": 4, "secrets": {"a": {"b": "C"}}}
    more = parse_placement({"all": {"hub_cache": "other"}, "plan": plan, "rl": {"checkpoints": "more"}})
    problems = check_package(package, more)
    assert "exec-plan: does not ask for cpus as the placement says" in problems
    assert "exec-plan: does not ask for secrets as the placement says" in problems
    assert sum("hub_cache" in problem for problem in problems) == 10
    assert "exec-rl: does not ask for checkpoints as the placement says" in problems


def test_without_a_placement_a_pod_asks_for_nothing(tmp_path):
    write_package(tmp_path / "p.yaml", load_recipe("laptop", []), parse_placement(None), IMAGE)
    read = read_package(tmp_path / "p.yaml")
    assert not any(e.container.HasField("resources") or e.container.env for e in read.executors.values())


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_have_a_placement(name):
    load_placement(name)


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        ("[sft]", "placement: expected a mapping with keys of all, plan"),
        ("{rll: {gpus: 1}}", "placement: unknown key 'rll'; did you mean rl"),
        ("{rl: 8}", "placement.rl: expected a mapping"),
        ("{rl: {gpu: 1}}", "placement.rl: unknown key 'gpu'; did you mean gpus"),
        ("{rl: {gpus: many}}", "placement.rl.gpus: expected int, got 'many'"),
        ("{rl: {gpus: -1}}", "placement.rl.gpus: expected 0 or more"),
        ("{rl: {memory: 64GB}}", "placement.rl.memory: expected an amount such as 64Gi"),
        ("{rl: {shared_memory: big}}", "placement.rl.shared_memory: expected an amount"),
        ("{rl: {timeout: 24}}", "placement.rl.timeout: expected str, got 24"),
        ("{rl: {timeout: one day}}", "placement.rl.timeout: expected a duration"),
        ("{all: {queue: Team A}}", "placement.all.queue: expected the name of a Kubernetes object"),
        ("{parallelism: 0}", "placement.parallelism: expected 1 or more"),
        ("{parallelism: many}", "placement.parallelism: expected int"),
        ("{sft: {storage: 5GB}}", "placement.sft.storage: expected an amount such as 64Gi"),
        ("{all: {hub_cache: my.cache}}", "placement.all.hub_cache: expected the name of a volume claim"),
        (f"{{all: {{hub_cache: {'c' * 64}}}}}", "placement.all.hub_cache: expected .* at most 63"),
        ("{rl: {train_job: {volume: a.b}}}", "placement.rl.train_job: expected volume as the name of a volume claim"),
        (
            "{all: {hub_cache: v}, rl: {train_job: {volume: v}}}",
            "placement.rl: the claim v is both hub_cache and train",
        ),
        ("{all: {checkpoints: c}}", "placement.all.checkpoints: only for sft and rl, the stages that train"),
        ("{gate: {checkpoints: c}}", "placement.gate.checkpoints: only for sft and rl"),
        ("{rl: {checkpoints: a.b}}", "placement.rl.checkpoints: expected the name of a volume claim"),
        ("{all: {hub_cache: v}, rl: {checkpoints: v}}", "placement.rl: the claim v is both hub_cache and checkpoints"),
        (
            "{rl: {train_job: {volume: v}, checkpoints: c}}",
            "placement.rl: a train_job keeps its checkpoints on its own",
        ),
        ("{all: {volumes: {a.b: /models}}}", "placement.all.volumes: expected the name of a volume claim"),
        ("{all: {volumes: {a: models}}}", "placement.all.volumes: expected a path of its own, such as /models"),
        ("{all: {volumes: {a: /tmp/models}}}", "placement.all.volumes: expected a path of its own"),
        ("{all: {volumes: {a: /models, b: /models}}}", "placement.all.volumes: expected a path of its own for each"),
        (
            "{all: {volumes: {v: /m}}, rl: {checkpoints: v}}",
            "placement.rl: the claim v is both checkpoints and volumes",
        ),
        ("{all: {node_selector: {gpu: true}}}", "placement.all.node_selector: expected labels with texts"),
        ("{all: {tolerations: [{key: a, operater: Exists}]}}", "unknown key 'operater'; did you mean operator"),
        ("{all: {tolerations: [{key: a, effect: Never}]}}", "placement.all.tolerations: expected effect as one of"),
        ("{all: {secrets: {hub: HF_TOKEN}}}", r"placement.all.secrets: expected \{secret: \{key: VARIABLE\}\}"),
        ("{all: {secrets: {hub: {token: HF-TOKEN}}}}", "placement.all.secrets: expected"),
        ("{all: {image_pull_secrets: [1]}}", "a list of names of secrets"),
        ("{all: {train_job: {volume: v}}}", "placement.all.train_job: only for sft and rl"),
        ("{predictors: {train_job: {volume: v}}}", "placement.predictors.train_job: only for sft and rl"),
        ("{rl: {train_job: {nodes: 2}}}", "placement.rl.train_job: expected volume as the name"),
        ("{rl: {train_job: {volume: v, nodes: 0}}}", "placement.rl.train_job: expected nodes as 1 or more"),
        ("{rl: {train_job: {volume: v, node: 2}}}", "placement.rl.train_job: unknown key 'node'; did you mean nodes"),
        ("{all: {environment: {A: 1}}}", "placement.all.environment: expected variables with texts"),
        (
            "{all: {environment: {MLFLOW_TRACKING_URI: 'http://me:pw@mlflow'}}}",
            "no secrets here; .* got 'MLFLOW_TRACKING_URI'$",
        ),
        ("{all: {environment: {HF_TOKEN: hf_abc}}}", "no secrets here; .* got 'HF_TOKEN'$"),
    ],
)
def test_a_bad_placement_is_one_line(tmp_path, placement, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"parameters: {{}}\nplacement: {placement}")
    with pytest.raises(InputError, match=f"recipe.yaml: .*{message}") as caught:
        load_placement(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("registry.example:5000/rlready:v1", "is a tag, .* give registry.example:5000/rlready@sha256"),
        ("rlready", "is a tag, .* give rlready@sha256"),
        ("rlready@sha256:abc", "is not name@sha256"),
        ("Not an image", "is not name@sha256"),
    ],
)
def test_an_image_that_can_change_is_refused(image, message):
    with pytest.raises(InputError, match=message):
        check_image(image)
    check_image(IMAGE)
    check_image("registry.example:5000/rlready:v1", force_tag=True)


@dsl.component(base_image="image")
def work(text: str = "") -> str:
    return text


@dsl.component(base_image="image")
def make(text: str, made: dsl.Output[dsl.Dataset]):
    pass


@dsl.component(base_image="image")
def take(one: dsl.Input[dsl.Dataset]):
    pass


def condition_in_its_loop():
    with dsl.ParallelFor(["a", "b"]) as item:
        done = work(text=item)
        with dsl.If(done.output == "a"):
            work(text=item)


@dsl.pipeline(name="inner")
def inner(text: str):
    done = work(text=text)
    with dsl.If(done.output == "a"):
        work(text=text)


def condition_in_a_nested_pipeline():
    with dsl.ParallelFor(["a", "b"]) as item:
        inner(text=item)


def importer_in_a_loop():
    with dsl.ParallelFor(["s3://a", "s3://b"]) as item:
        take(one=dsl.importer(artifact_uri=item, artifact_class=dsl.Dataset).output)


@dsl.pipeline(name="inner-import")
def inner_import(uri: str):
    take(one=dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset).output)


def importer_deeper_in_a_loop():
    with dsl.ParallelFor(["s3://a"]) as item:
        inner_import(uri=item)


def importer_outside():
    take(one=dsl.importer(artifact_uri="s3://a", artifact_class=dsl.Dataset).output)


def loop_in_an_exit_handler():
    with dsl.ExitHandler(work(text="bye")), dsl.ParallelFor(["a"]) as item:
        work(text=item)


@dsl.pipeline(name="collect")
def collect() -> List[dsl.Dataset]:  # noqa: UP006
    with dsl.ParallelFor(["a", "b"]) as item:
        made = make(text=item)
    return dsl.Collected(made.outputs["made"])


@dsl.pipeline(name="either")
def either(text: str) -> str:
    done = work(text=text)
    with dsl.If(done.output == "a"):
        one = work(text=text)
    with dsl.Else():
        other = work(text="b")
    return dsl.OneOf(one.output, other.output)


@dsl.pipeline(name="collect-either")
def collect_either() -> List[str]:  # noqa: UP006
    with dsl.ParallelFor(["a", "b"]) as item:
        found = either(text=item)
    return dsl.Collected(found.output)


def one_of():
    either(text="a")


def one_of_collected():
    collect_either()


def kfp_s_own_retries():
    work(text="a").set_retry(2)


def loop_over_artifacts():
    with dsl.ParallelFor(collect().output) as one:
        take(one=one)


@pytest.mark.parametrize(
    ("built", "problems"),
    [
        (condition_in_its_loop, ["a condition in the graph of its loop"]),
        (condition_in_a_nested_pipeline, []),
        (importer_in_a_loop, ["an importer in a loop fails"]),
        (importer_deeper_in_a_loop, ["an importer in a loop fails"]),
        (importer_outside, []),
        (loop_in_an_exit_handler, ["a loop in an exit handler"]),
        (loop_over_artifacts, ["loops over a list of artifacts"]),
        (one_of, ["comes out of OneOf, which fails where its branch is from the cache"]),
        (one_of_collected, ["collects a parameter that comes out of OneOf", "comes out of OneOf, which fails"]),
        (kfp_s_own_retries, ["num_retries, but Argo never tries a process again"]),
    ],
)
def test_constructs_that_are_known_to_break_are_found(built, problems, tmp_path):
    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(dsl.pipeline(name="p")(built), str(path))
    found = check_package(path)
    assert len(found) == len(problems)
    assert all(expected in problem for expected, problem in zip(problems, found, strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pipelineInfo: {name: p}\nroot: {dags: {}}", "has no field named .dags."),
        ("hello", "not a pipeline of KFP"),
        ("", "not a pipeline of KFP"),
        ("a: [", "not a pipeline of KFP"),
    ],
)
def test_what_is_no_pipeline_is_refused(text, message, tmp_path):
    path = tmp_path / "pipeline.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        check_package(path)


def test_an_executor_needs_an_image_and_a_command(package, tmp_path):
    path = tmp_path / "pipeline.yaml"
    first, second = yaml.safe_load_all(package.read_text())
    del first["deploymentSpec"]["executors"]["exec-rl"]["container"]["image"]
    del first["deploymentSpec"]["executors"]["exec-sft"]["container"]["command"]
    path.write_text(yaml.safe_dump_all([first, second]))
    assert sorted(check_package(path)) == ["exec-rl: no image", "exec-sft: no command"]
