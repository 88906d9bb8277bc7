"""Turns sources into training, held-out, RL and evaluation sets that share no problem."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from rlready.config import SUBSETS, Curate
from rlready.models.prompts import choose_prompt, fill_prompt
from rlready.records.serialization import write_atomically
from rlready.stages.curate.card import balance_rows, count_by_text, describe_card, describe_groups, make_table, write_set
from rlready.stages.curate.evaluation import SourceReader, read_evaluation
from rlready.stages.curate.pool import EXAMPLE, PROMPT, RowPool, order_by_hash
from rlready.stages.curate.refine import Tokenizer, fill_pool
from rlready.stages.curate.split import PassCounter, PassRates, Split, clean_pools, draw_own_prompts, split_pool


def curate(
    settings: Curate,
    revisions: dict[str, str],
    out: Path,
    count_tokens: Tokenizer | None = None,
    count_passes: PassCounter | None = None,
) -> dict:
    """Writes the sets sft, heldout, rl, validation, predictors and benchmark as Parquet, except empty ones, and a card.

    Training problems that are, or resemble, evaluation problems are left out first, then duplicates and near-duplicates. Then
    held-out problems, those for RL and the SFT pool are drawn by problem; near-duplicate questions count as one. A subset of n
    examples is the rows of rank below n in its rank column (`rank_random`, `rank_shortest`, ...), so subsets are nested. The
    order of rows in the sources has no influence. Texts stay on disk; memory holds a few numbers per row.

    `revisions` are the digest or commit of each source, as plan found it; the functions count tokens of texts, and the base
    model's right samples of problems, if the settings need that. The folder `out` appears only when complete. Returns the card;
    raises InputError if a source is unreadable or has changed, or too few rows remain.
    """
    out, partial = Path(out), Path(f"{out}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    # Arrow's own allocator takes half as long again for millions of rows (mimalloc in pyarrow 25).
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        rates = PassRates(settings, count_passes)
        card = _write_sets(SourceReader(settings, revisions), rates, partial, count_tokens)
        write_atomically(partial / "card.json", json.dumps(card, indent=2))
        write_atomically(partial / "card.md", describe_card(card))
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return card


def _write_sets(reader: SourceReader, rates: PassRates, folder: Path, count_tokens: Tokenizer | None) -> dict:
    settings, dropped = reader.settings, reader.dropped
    (folder / "spool").mkdir()
    evaluation = read_evaluation(reader, folder / "spool")
    uses = [use for use in ("sft", "rl") if use in reader.uses]
    pools = [fill_pool(reader, use, evaluation, folder / "spool", count_tokens) for use in uses]
    groups = clean_pools(evaluation, pools, dropped)
    scored = {"predictors": evaluation.predictors, "benchmark": evaluation.benchmark}
    grouped = {name: describe_groups(row["group"] for row in rows) for name, rows in scored.items()}
    for pool, found in zip(pools, groups, strict=True):
        grouped[pool.use] = describe_groups(found[pool.list_problems()[0]].tolist())
    splits = [split_pool(reader, pools[0], groups[0], rates)] if "sft" in uses else []
    splits += [draw_own_prompts(reader, pools, groups, rates)] if "rl" in uses else []
    drawn: dict[str, list[dict]] = {"heldout": [], "prompts": [], "validation": []}
    examples = (table for pool, split in zip(pools, splits, strict=True) for table in _choose(pool, split, drawn))
    sets = {"sft": write_set(folder / "sft.parquet", examples)}
    heldout = order_by_hash(drawn["heldout"], settings.seed, "heldout")
    text = {}
    if heldout:
        text = {"prompt": fill_prompt(heldout[0]["question"], choose_prompt(heldout[0])), "solution": heldout[0]["solution"]}
    prompts, validation = (
        [{key: row[key] for key in PROMPT} | rates.describe_problem(row) for row in order_by_hash(some, settings.seed, "rl")]
        for some in (drawn["prompts"], drawn["validation"])
    )
    others = {"heldout": heldout, "rl": prompts, "validation": validation} | scored
    sets |= {name: write_set(folder / f"{name}.parquet", make_table(rows)) for name, rows in others.items()}
    shutil.rmtree(folder / "spool", ignore_errors=True)
    return {
        "sources": reader.described,
        "seed": settings.seed,
        "sets": {name: entry for name, entry in sets.items() if entry},
        "balance": balance_rows(reader.read, sets, dropped) + reader.balance(),
        "groups": grouped,
        "dropped": dropped.describe(),
        "parts": dropped.parts.describe(),
        "text": text,
        "contamination": dropped.describe_matches(),
        "golds": count_by_text(scored),
    } | rates.describe()


def _choose(pool: RowPool, split: Split, drawn: dict[str, list[dict]]) -> Iterator[pa.Table]:
    """Yields the SFT examples with their ranks, if there are any, and adds the other rows of a split by their names in it."""
    for table in pool.read():
        numbers, rows = table["row"].to_numpy(), table.select(EXAMPLE)
        for name, some in drawn.items():
            some += rows.filter(getattr(split, name)[numbers]).to_pylist()
        if split.ranks:
            ranked = split.ranks["random"][numbers] >= 0
            chosen = rows.filter(ranked)
            for subset in SUBSETS:
                chosen = chosen.append_column(f"rank_{subset}", pa.array(split.ranks[subset][numbers[ranked]]))
            yield chosen
