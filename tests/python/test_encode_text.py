"""Text encoder on tiny real graphs: outputs, pooling, padding, cutting, batching, errors."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("tokenizers")

from onnx import TensorProto

from encode_models import (
    DIM,
    expected_tokens,
    hide,
    unit,
    write_json,
    write_text_model,
)
from gapless.encode import TextEncoder, load_encoder, model_folder
from gapless.errors import (
    CorruptFile,
    InvalidArgument,
    InvalidVector,
    MissingExtra,
    MissingModelFile,
)

TEXTS = ["red cat", "blue", "green dog house", "red", "dog cat red blue", "house"]
IDS = [[2, 4, 7, 3], [2, 6, 3], [2, 5, 8, 9, 3], [2, 4, 3], [2, 8, 7, 4, 6, 3], [2, 9, 3]]


def mean_of(ids: list[int]) -> np.ndarray:
    return expected_tokens(ids).mean(axis=0)


def test_tokens_are_pooled_by_the_mean_without_padding(tmp_path: Path) -> None:
    encoder = TextEncoder(write_text_model(tmp_path))
    got = encoder.encode(TEXTS, batch_size=4)
    assert (encoder.dim, encoder.modality) == (DIM, "text")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, unit(np.stack([mean_of(i) for i in IDS])), atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_every_batch_size_gives_the_same_rows_in_the_order_given(
    tmp_path: Path, batch_size: int
) -> None:
    encoder = TextEncoder(write_text_model(tmp_path))
    texts = TEXTS * 20
    alone = np.concatenate([encoder.encode([t]) for t in texts])
    np.testing.assert_allclose(encoder.encode(texts, batch_size=batch_size), alone, atol=1e-5)


@pytest.mark.parametrize(
    ("flag", "expect"),
    [
        ("pooling_mode_cls_token", lambda t: t[0]),
        ("pooling_mode_max_tokens", lambda t: t.max(axis=0)),
        ("pooling_mode_mean_tokens", lambda t: t.mean(axis=0)),
        ("pooling_mode_mean_sqrt_len_tokens", lambda t: t.sum(axis=0) / np.sqrt(len(t))),
        ("pooling_mode_lasttoken", lambda t: t[-1]),
    ],
)
def test_pooling_follows_the_folder(tmp_path: Path, flag: str, expect: Any) -> None:
    folder = write_text_model(tmp_path)
    write_json(folder, "1_Pooling/config.json", {flag: True})
    want = unit(np.stack([expect(expected_tokens(i)) for i in IDS]))
    np.testing.assert_allclose(TextEncoder(folder).encode(TEXTS), want, atol=1e-6)


def test_two_pooling_modes_are_concatenated_and_the_caller_wins(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path)
    write_json(folder, "1_Pooling/config.json", {"pooling_mode": "mean+cls"})
    both = TextEncoder(folder)
    tokens = expected_tokens(IDS[0])
    assert both.dim == 2 * DIM
    want = unit(np.concatenate([tokens[0], tokens.mean(axis=0)]))
    np.testing.assert_allclose(both.encode(TEXTS[:1])[0], want, atol=1e-6)
    cls = TextEncoder(folder, pooling="cls").encode(TEXTS[:1])[0]
    np.testing.assert_allclose(cls, unit(tokens[0]), atol=1e-6)


@pytest.mark.parametrize("pooling", ["middle", "weightedmean"])
def test_unknown_pooling_is_refused(tmp_path: Path, pooling: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{pooling}.*cls, max, mean"):
        TextEncoder(write_text_model(tmp_path), pooling=pooling)


def test_a_pooled_output_wins_unless_the_folder_says_how_to_pool(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path, outputs=("last_hidden_state", "pooler_output"))
    texts = ["red", "dog cat red blue"]
    padded = TextEncoder(folder).encode(texts)  # the tiny pooler averages padding too
    alone = np.concatenate([TextEncoder(folder).encode([t]) for t in texts])
    assert np.abs(padded - alone).max() > 0.01
    write_json(folder, "1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    masked = TextEncoder(folder).encode(texts)
    want = unit(np.stack([mean_of([2, 4, 3]), mean_of(IDS[4])]))
    np.testing.assert_allclose(masked, want, atol=1e-6)


@pytest.mark.parametrize("outputs", [("text_embeds", "pooler_output"), ("my_vector",)])
def test_the_output_is_found_by_priority_or_because_it_is_alone(
    tmp_path: Path, outputs: tuple[str, ...]
) -> None:
    encoder = TextEncoder(write_text_model(tmp_path, outputs=outputs))
    assert encoder._output == outputs[0]


def test_several_unknown_outputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"first, second.*text_embeds"):
        TextEncoder(write_text_model(tmp_path, outputs=("first", "second")))


def test_without_an_attention_mask_nothing_is_ever_padded(tmp_path: Path) -> None:
    encoder = TextEncoder(write_text_model(tmp_path, outputs=("text_embeds",), mask=False))
    want = unit(np.stack([mean_of(i) for i in IDS]))
    np.testing.assert_allclose(encoder.encode(TEXTS), want, atol=1e-6)


def test_long_texts_are_cut_and_keep_their_last_special_token(tmp_path: Path) -> None:
    encoder = TextEncoder(write_text_model(tmp_path, max_positions=8))
    got = encoder.encode(["red " * 5000, "blue"])
    np.testing.assert_allclose(got[0], unit(mean_of([2, 4, 4, 4, 4, 4, 4, 3])), atol=1e-6)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, 512),
        ({"config.json": {"max_position_embeddings": 40}}, 40),
        ({"config.json": {"text_config": {"max_position_embeddings": 77}}}, 77),
        (
            {
                "config.json": {
                    "max_position_embeddings": 514,
                    "model_type": "roberta",
                    "pad_token_id": 1,
                }
            },
            512,
        ),
        (
            {
                "config.json": {"max_position_embeddings": 512},
                "sentence_bert_config.json": {"max_seq_length": 256},
                "tokenizer_config.json": {"model_max_length": 1e30},
            },
            256,
        ),
        ({"tokenizer_config.json": {"model_max_length": 16}}, 16),
    ],
)
def test_the_smallest_stated_limit_holds(tmp_path: Path, files: Any, limit: int) -> None:
    folder = write_text_model(tmp_path, max_positions=600)
    (folder / "config.json").unlink()
    for name, value in files.items():
        write_json(folder, name, value)
    assert TextEncoder(folder)._tokens.limit == limit


def test_siglip_is_padded_to_its_full_length_with_its_pad_token(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path, outputs=("pooler_output",), mask=False, max_positions=8)
    text_config = {"max_position_embeddings": 8, "model_type": "siglip_text_model"}
    write_json(folder, "config.json", {"model_type": "siglip", "text_config": text_config})
    write_json(folder, "special_tokens_map.json", {"pad_token": {"content": "[SEP]"}})
    got = TextEncoder(folder).encode(["red", "dog cat red blue"])
    want = [[2, 4, 3] + [3] * 5, [2, 8, 7, 4, 6, 3] + [3] * 2]
    np.testing.assert_allclose(got, unit(np.stack([mean_of(i) for i in want])), atol=1e-6)


def test_siglip2_text_is_lower_cased(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path, outputs=("pooler_output",), mask=False)
    write_json(folder, "config.json", {"model_type": "siglip", "max_position_embeddings": 8})
    write_json(folder, "tokenizer_config.json", {"tokenizer_class": "GemmaTokenizer"})
    upper, lower = TextEncoder(folder).encode(["RED Cat", "red cat"])
    np.testing.assert_array_equal(upper, lower)


def test_graphs_of_fixed_batch_and_length_are_filled_up(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path, batch=4, length=8)
    want = unit(np.stack([mean_of(i) for i in IDS]))
    np.testing.assert_allclose(TextEncoder(folder).encode(TEXTS), want, atol=1e-6)


def test_a_fused_graph_gets_a_blank_image(tmp_path: Path) -> None:
    pixels = ("pixel_values", TensorProto.FLOAT, ["images", 3, 16, 16])
    folder = write_text_model(tmp_path, outputs=("text_embeds",), extra_input=pixels)
    write_json(folder, "preprocessor_config.json", {"size": 16})
    assert TextEncoder(folder).encode(["red"]).shape == (1, DIM)


def test_an_input_no_encoder_can_supply_is_named(tmp_path: Path) -> None:
    odd = ("speaker_id", TensorProto.INT64, ["batch"])
    with pytest.raises(InvalidArgument, match="asks for speaker_id"):
        TextEncoder(write_text_model(tmp_path, extra_input=odd))


def test_no_texts_give_no_rows(tmp_path: Path) -> None:
    got = TextEncoder(write_text_model(tmp_path)).encode([])
    assert (got.shape, got.dtype) == ((0, DIM), np.float32)


@pytest.mark.parametrize(
    ("items", "batch_size", "message"),
    [
        ("red cat", 64, "got the string 'red cat'"),
        (["red", 5], 64, "text 1 is a int"),
        (["red"], 0, "batch_size=0"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, items: Any, batch_size: int, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        TextEncoder(write_text_model(tmp_path)).encode(items, batch_size)


def test_a_text_without_any_token_is_named(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path)
    (folder / "tokenizer.json").unlink()
    from encode_models import write_tokenizer

    write_tokenizer(folder, special=False)
    with pytest.raises(InvalidArgument, match="text 1 is '  '"):
        TextEncoder(folder).encode(["red", "  "])


def test_a_zero_vector_names_the_row_in_the_order_given(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path)
    from onnx import helper

    from encode_models import save_graph

    save_graph(  # the vector is the mean of (id - 4): zero for "red" alone, without specials
        folder / "onnx" / "model.onnx",
        [
            helper.make_node("Sub", ["input_ids", "four"], ["shifted"]),
            helper.make_node("Cast", ["shifted"], ["real"], to=1),
            helper.make_node("ReduceMean", ["real", "axis"], ["text_embeds"], keepdims=1),
        ],
        [("input_ids", TensorProto.INT64, ["batch", "length"])],
        [("text_embeds", ["batch", 1])],
        {"four": np.int64(4).reshape(()), "axis": np.array([1], np.int64)},
    )
    (folder / "tokenizer.json").unlink()
    from encode_models import write_tokenizer

    write_tokenizer(folder, special=False)
    with pytest.raises(InvalidVector, match="2"):
        TextEncoder(folder).encode(["blue", "cat dog", "red", "house"])


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("tokenizer.json", "has no tokenizer.json, which turns text into token ids"),
        ("onnx/model.onnx", r"no graph for text: wanted one of onnx/text_model\.onnx.*no \*\.onnx"),
    ],
)
def test_a_missing_file_is_named_with_a_remedy(tmp_path: Path, gone: str, message: str) -> None:
    folder = write_text_model(tmp_path)
    (folder / gone).unlink()
    with pytest.raises(MissingModelFile, match=message) as caught:
        TextEncoder(folder)
    assert str(folder) in str(caught.value)
    assert "copy" in str(caught.value)


def test_other_graphs_in_the_folder_are_listed_and_reached_by_variant(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path, name="onnx/model_quantized.onnx")
    with pytest.raises(MissingModelFile, match=r"it has onnx/model_quantized\.onnx.*`variant`"):
        TextEncoder(folder)
    assert TextEncoder(folder, variant="quantized").encode(["red"]).shape == (1, DIM)


def test_an_image_graph_is_no_text_encoder(tmp_path: Path) -> None:
    from encode_models import write_image_model

    write_image_model(tmp_path, name="model.onnx")
    with pytest.raises(MissingModelFile, match=r"no input_ids.*text_model"):
        TextEncoder(tmp_path)


def test_a_missing_folder_says_how_to_fetch_a_hub_model() -> None:
    with pytest.raises(MissingModelFile, match="hf download Xenova/clip-vit-base-patch32"):
        load_encoder("Xenova/clip-vit-base-patch32", "text")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("onnx/model.onnx", b"\x00not a graph"),
        ("tokenizer.json", b'{"version": "1.0"'),
        ("config.json", b'{"a": '),
        ("config.json", b"[1, 2]"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    folder = write_text_model(tmp_path)
    (folder / name).write_bytes(content)
    with pytest.raises(CorruptFile, match=name.rpartition("/")[2]):
        TextEncoder(folder)


def test_a_dense_layer_outside_the_graph_is_refused(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path)
    modules = [{"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InvalidArgument, match=r"Dense layer.*sentence_embedding"):
        TextEncoder(folder)


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers", "tqdm.auto"])
def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    folder = write_text_model(tmp_path)
    hide(package, monkeypatch)
    with pytest.raises(MissingExtra, match=r"pip install 'gapless\[onnx\]'"):
        TextEncoder(folder).encode(["red"], progress=True)


def test_progress_counts_every_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = TextEncoder(write_text_model(tmp_path))
    encoder.encode(TEXTS, progress=True)
    assert "6.00/6.00" in capsys.readouterr().err
    encoder.encode(TEXTS)
    assert capsys.readouterr().err == ""


def test_threads_share_one_encoder(tmp_path: Path) -> None:
    encoder = TextEncoder(write_text_model(tmp_path), threads=1)
    want = encoder.encode(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda _: encoder.encode(TEXTS, batch_size=3), range(40)):
            np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("threads", [0, -2])
def test_threads_below_one_are_refused(tmp_path: Path, threads: int) -> None:
    with pytest.raises(InvalidArgument, match=f"threads={threads}"):
        load_encoder(write_text_model(tmp_path), "text", threads=threads)


def test_load_encoder_refuses_a_modality_it_has_no_encoder_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"'smell'.*'text' or 'image'"):
        load_encoder(tmp_path, "smell")


def test_the_demo_name_means_the_packaged_folder() -> None:
    try:
        folder = model_folder("gapless.demo")
    except MissingModelFile as error:
        assert "gapless.demo.train" in str(error)
    else:
        assert folder.parts[-3:] == ("gapless", "demo", "model")
