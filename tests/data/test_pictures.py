"""Problems with a picture: given to a tiny image-text model that learned to see, and left out for models that cannot."""

import dataclasses
import io
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers.tokenizer import make_byte_tokenizer
from PIL import Image
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from rlready.config import Sampling
from rlready.data.pictures import MOST_PIXELS, open_picture
from rlready.data.problems import read_benchmark, read_problem
from rlready.data.registry import find_source, read_registry
from rlready.errors import InputError
from rlready.evaluation.evaluate import describe_results, evaluate, plan_evaluation
from rlready.sampling.engine import Draw
from rlready.sampling.image_text_engine import ImageTextEngine

BUILTIN = "builtin:list-machine"
QUESTION = "Which one is shown?"
COLOURS = {"A": (250, 10, 10), "B": (10, 10, 250)}
# As LLaVA's: a turn is a list of pictures and texts.
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {% for c in m.content %}{% if c.type == 'image' %}<image>{% else %}{{ c.text }}"
    "{% endif %}{% endfor %}{% if m.role == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} assistant: {% endif %}"
)


PLAIN = {"question": "2 + 2?", "query": "2 + 2?", "choices": None, "answer": "4", "metadata": {"source": "SciBench"}}


def draw_picture(colour, size=(40, 30), form="PNG", mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, form)
    return file.getvalue()


def make_row(answer, picture):
    return {
        "question": QUESTION,
        "query": f"Hint: ...\nQuestion: {QUESTION}",
        "choices": ["the first", "the second"],
        "answer": {"A": "the first", "B": "the second"}[answer],
        "decoded_image": picture and {"bytes": picture, "path": "1.png"},
        "metadata": {"source": "GeoQA+"},
    }


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    """Returns a folder with a LLaVA of 60,000 parameters that answers A to a red picture and B to a blue one."""
    torch.manual_seed(0)
    tokenizer = make_byte_tokenizer(TEMPLATE, ["<image>", "<s>", "</s>"], eos_token="</s>", pad_token="</s>")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = LlamaConfig(
        vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, **sizes
    )
    vision = CLIPVisionConfig(image_size=28, patch_size=14, **sizes)
    mark = tokenizer.convert_tokens_to_ids("<image>")
    model = LlavaForConditionalGeneration(LlavaConfig(vision_config=vision, text_config=text, image_token_index=mark))
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )  # fmt: skip
    engine = ImageTextEngine(model.eval(), processor)
    source = read_registry("benchmarks")["mathvista"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    examples = []
    for letter, colour in COLOURS.items():
        problem = ask(source, make_row(letter, draw_picture(colour)))
        answer = tokenizer(f"\\boxed{{{letter}}}", add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        given = engine.encode(problem)
        ids = torch.cat([given["input_ids"], torch.tensor([answer])], 1)
        labels = ids.clone()
        labels[:, : -len(answer)] = -100
        examples.append({"input_ids": ids, "labels": labels, "pixel_values": given["pixel_values"]})
    for _ in range(150):
        optimizer.zero_grad()
        sum(model(**example).loss for example in examples).backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("model") / "seeing"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def ask(source, row):
    return read_problem(row, False, dataclasses.replace(source, pictures=True))


@pytest.fixture
def mirror(tmp_path):
    """Returns a mirror with MathVista's file: three problems of one text, the same again, and what cannot be shown."""
    red, blue = map(draw_picture, COLOURS.values())
    huge = draw_picture(1, (8000, 8000), mode="1")  # a few kilobytes
    rows = [
        make_row("A", red),
        make_row("B", blue),
        make_row("A", draw_picture(COLOURS["A"], (90, 30), "JPEG")),
        make_row("A", red),
        make_row("A", b"no picture"),
        make_row("A", blue[:60]),
        make_row("A", huge),
        make_row("A", None),
        make_row("A", None) | PLAIN,
    ]
    folder = tmp_path / "mirror" / "mathvista"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "testmini.parquet")
    return folder.parent


def find(mirror):
    source = find_source("mathvista", "benchmarks", {}, str(mirror))
    return dataclasses.replace(source, rows=None)


def test_an_image_text_model_is_asked_with_the_picture(seeing, mirror, tmp_path):
    sampling = Sampling(max_tokens=12)
    evaluation = plan_evaluation(str(seeing), "main", [find(mirror)], 2, 0, sampling)
    (benchmark,) = evaluation.benchmarks
    assert [row["answer"] for row in benchmark.problems] == ["A", "B", "A", "4"]
    assert benchmark.left_out == {
        "duplicate": 1,
        "the picture is damaged, or none of PNG, JPEG, WEBP, BMP, GIF": 2,
        f"the picture has more than {MOST_PIXELS:,} pixels": 1,
        "needs the picture": 1,
    }
    results = evaluate(evaluation, tmp_path / "out", lambda *_: None)
    rows = pq.read_table(tmp_path / "out" / "samples.parquet").to_pylist()
    greedy = [(row["gold"], row["answer"]) for row in rows if row["temperature"] == 0]
    assert greedy[:3] == [("A", "A"), ("B", "B"), ("A", "A")]
    assert rows[0]["prompt"].startswith(f"user: <image>{QUESTION}\nA. the first\nB. the second")
    assert results.scores[0].greedy == 0.75 and "left out: 1 x needs the picture" in describe_results(evaluation, results)
    # The pictures are part of what is evaluated: other ones make it another evaluation.
    assert json.dumps(evaluation.describe())
    swapped = plan_evaluation(str(seeing), "main", [find(mirror)], 2, 2, sampling)
    swapped.benchmarks[0].problems[1]["image"] = swapped.benchmarks[0].problems[0]["image"]
    assert swapped.name != plan_evaluation(str(seeing), "main", [find(mirror)], 2, 2, sampling).name


def test_a_text_model_leaves_out_what_needs_the_picture(mirror):
    evaluation = plan_evaluation(BUILTIN, "main", [find(mirror)], 2, 0, Sampling(max_tokens=12))
    assert [row["question"] for row in evaluation.benchmarks[0].problems] == ["2 + 2?"]
    assert evaluation.benchmarks[0].left_out == {"needs the picture": 8}


def test_more_samples_extend_fewer_and_neighbours_change_nothing(seeing):
    engine = ImageTextEngine.load(str(seeing), Sampling())
    source = read_registry("benchmarks")["mathvista"]
    prompts = [engine.encode(ask(source, make_row("A", draw_picture(colour)))) for colour in [(0, 200, 0), (9, 9, 9)]]
    many = engine.sample(prompts, ["a", "b"], Draw(11, 6, temperature=3.0, seed=4))
    assert len({completion.text for completion in many[0]}) > 5
    assert engine.sample(prompts[1:], ["b"], Draw(3, 6, temperature=3.0, seed=4))[0] == many[1][:3]
    assert engine.sample(prompts[:1], ["a"], Draw(3, 6, temperature=3.0, seed=5))[0] != many[0][:3]
    (whole,) = engine.sample(prompts[:1], ["a"], Draw(1, 12, temperature=0))[0]
    assert whole.finished and whole.ids[-1] in engine.ends
    (stopped,) = engine.sample(prompts[:1], ["a"], Draw(1, 12, temperature=0, stop=["boxed"]))[0]
    assert stopped.text == "\\" and stopped.finished and stopped.ids == whole.ids[: len("\\boxed")]


def test_what_the_model_folder_says_of_sampling_changes_nothing(seeing, tmp_path):
    def sample(folder):
        engine = ImageTextEngine.load(str(folder), Sampling())
        prompt = engine.encode(ask(read_registry("benchmarks")["mathvista"], make_row("A", draw_picture((0, 200, 0)))))
        return engine.sample([prompt], ["a"], Draw(4, 12, seed=4))

    own = {"do_sample": True, "min_new_tokens": 12, "no_repeat_ngram_size": 1, "min_p": 0.9, "stop_strings": ["A"]}
    (shutil.copytree(seeing, tmp_path / "own") / "generation_config.json").write_text(json.dumps(own))
    assert sample(tmp_path / "own") == sample(seeing)


@pytest.mark.parametrize("asked", [{"engine": "vllm"}, {"replicas": 2}, {"tensor_parallel": 2}])
def test_other_engines_are_refused(seeing, asked):
    with pytest.raises(InputError, match="an image-text model is sampled by transformers in one process"):
        ImageTextEngine.load(str(seeing), Sampling(**asked))


def test_what_runs_a_program_is_no_picture():
    with pytest.raises(InputError, match="none of PNG"):
        open_picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")


def test_pictures_are_read_from_the_benchmark_alone(mirror):
    """Without an image-text model nobody reads the column, however large it is."""
    problems, _ = read_benchmark(find(mirror))
    assert all("image" not in row for row in problems)
