from __future__ import annotations

import json
import pickle

import pytest

from gapless import Field, Schema, Space
from gapless.errors import InvalidArgument, SchemaMismatch


def two_spaces() -> Schema:
    return Schema(
        spaces={"clip": Space(512, encoder="folder/clip", revision="2"), "bge": Space(384)},
        fields={
            "image": Field("clip", "image"),
            "caption": Field("clip", "text", index="flat"),
            "body": Field("bge", "text", m=16, ef_construction=100, codes="i8"),
        },
    )


def test_json_round_trip_keeps_everything_and_the_order() -> None:
    schema = two_spaces()
    again = Schema.from_json(schema.to_json())
    assert again == schema
    assert hash(again) == hash(schema)
    assert list(again.fields) == ["image", "caption", "body"]
    assert json.loads(schema.to_json())["fields"]["body"]["m"] == 16


def test_a_schema_survives_pickling() -> None:
    schema = two_spaces()
    assert pickle.loads(pickle.dumps(schema)) == schema


def test_dim_and_fields_of() -> None:
    schema = two_spaces()
    assert [schema.dim(name) for name in schema.fields] == [512, 512, 384]
    assert schema.fields_of("clip") == ("image", "caption")
    assert schema.fields_of("bge") == ("body",)


def test_a_schema_does_not_follow_the_dict_it_was_made_from() -> None:
    spaces = {"clip": Space(4)}
    schema = Schema(spaces, {"image": Field("clip", "image")})
    spaces["other"] = Space(5)
    assert list(schema.spaces) == ["clip"]
    with pytest.raises(TypeError):
        schema.spaces["other"] = Space(5)  # type: ignore[index]


@pytest.mark.parametrize("dim", [0, -1, 65_537, 3.0, "8", True, None])
def test_space_refuses_a_bad_dim(dim: object) -> None:
    with pytest.raises(InvalidArgument, match=r"Space\.dim is .*integer from 1 to 65536"):
        Space(dim)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["encoder", "revision"])
def test_space_refuses_an_empty_text(name: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"Space\.{name} is ''"):
        Space(4, **{name: ""})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": ""}, r"Field\.space is ''"),
        ({"modality": ""}, r"Field\.modality is ''"),
        ({"modality": "a\nb"}, r"Field\.modality is 'a\\nb'"),
        ({"modality": "x" * 65}, r"1 to 64 characters"),
        ({"index": "tree"}, r"Field\.index is 'tree': choose one of hnsw, flat"),
        ({"m": 1}, r"Field\.m is 1"),
        ({"m": 513}, r"Field\.m is 513"),
        ({"ef_construction": 0}, r"Field\.ef_construction is 0"),
        ({"codes": "i4"}, r"Field\.codes is 'i4': choose one of auto, f32"),
    ],
)
def test_field_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Field(**{"space": "clip", "modality": "image", **arguments})  # type: ignore[arg-type]


def test_a_field_in_an_unknown_space_is_a_mismatch_that_names_both() -> None:
    with pytest.raises(SchemaMismatch, match=r"field 'image' names the space 'clap'.*'clip'"):
        Schema({"clip": Space(4)}, {"image": Field("clap", "image")})


@pytest.mark.parametrize(
    ("spaces", "fields", "message"),
    [
        ({}, {"image": Field("clip", "image")}, r"Schema\.spaces is \{\}"),
        ({"clip": Space(4)}, {}, r"Schema\.fields is \{\}"),
        ({"clip": Space(4)}, [Field("clip", "image")], r"Schema\.fields is \["),
        ({"clip": 4}, {"image": Field("clip", "image")}, r"Schema\.spaces\['clip'\] is 4"),
        ({"clip": Space(4)}, {"": Field("clip", "image")}, r"a name in Schema\.fields is ''"),
    ],
)
def test_schema_refuses(spaces: object, fields: object, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Schema(spaces, fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"spaces": {"a": {"dim": 4, "x": 1}}, "fields": {}}', "null"]
)
def test_from_json_refuses_what_is_no_schema(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"not the JSON of a schema|Schema"):
        Schema.from_json(text)


def test_require_accepts_itself_and_names_every_difference() -> None:
    ours = two_spaces()
    ours.require(two_spaces())
    given = Schema(
        spaces={"clip": Space(768, encoder="folder/clip", revision="2")},
        fields={"image": Field("clip", "image", m=16), "sound": Field("clip", "audio")},
    )
    with pytest.raises(SchemaMismatch) as caught:
        ours.require(given)
    message = str(caught.value)
    for part in (
        "space 'bge' is on disk and not given",
        "space 'clip' has dim 512 on disk, 768 given",
        "field 'caption' is on disk and not given",
        "field 'sound' is given and not on disk",
        "field 'image' has m 32 on disk, 16 given",
        "Open without a schema",
    ):
        assert part in message
    assert ours.differences(two_spaces()) == []
