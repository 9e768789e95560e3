from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from edge_connector.wire import codec
from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import CloseCode
from edge_connector.wire.codec import BATCH_BYTES, FrameDecoder, ProtocolError, encode_frames
from tests.support.wire_fields import directions_of, message_types, tag_of
from tests.unit.wire.samples import SAMPLES, encoded

DECODERS: dict[str, FrameDecoder[m.Message]] = {
    "connector → platform": codec.from_connector,
    "caller → platform": codec.from_caller,
    "platform → connector": codec.to_connector,
    "platform → caller": codec.to_caller,
}
EVERY_DECODER = pytest.mark.parametrize("decoder", DECODERS.values(), ids=list(DECODERS))


def decode_error(decoder: FrameDecoder[m.Message], frame: bytes | str) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decoder.decode(frame)
    assert caught.value.code is CloseCode.MALFORMED
    assert len(caught.value.reason.encode()) <= 123
    return caught.value


def test_there_is_a_sample_of_every_message() -> None:
    assert set(SAMPLES) == {tag_of(kind) for kind in message_types()}


class TestOneMessage:
    @pytest.mark.parametrize("tag", SAMPLES)
    def test_survives_the_way_there_in_every_direction(self, tag: str) -> None:
        sample = SAMPLES[tag]
        for direction in directions_of(type(sample)):
            (frame,) = encode_frames([sample])
            for form in (frame, frame.decode()):
                (back,) = DECODERS[direction].decode(form)
                assert type(back) is type(sample)
                assert encoded(back) == encoded(sample)

    @pytest.mark.parametrize("tag", SAMPLES)
    def test_that_travels_the_other_way_only_is_ignored(self, tag: str) -> None:
        sample = SAMPLES[tag]
        for direction in set(DECODERS) - set(directions_of(type(sample))):
            assert DECODERS[direction].decode(encoded(sample)) == []

    @pytest.mark.parametrize("tag", SAMPLES)
    def test_tolerates_unknown_fields(self, tag: str) -> None:
        sample = SAMPLES[tag]
        more = msgspec.json.decode(encoded(sample)) | {"zz": {"new": [1]}}
        (back,) = DECODERS[directions_of(type(sample))[0]].decode(msgspec.json.encode(more))
        assert encoded(back) == encoded(sample)

    @pytest.mark.parametrize("tag", SAMPLES)
    def test_without_a_required_field_is_malformed(self, tag: str) -> None:
        sample = SAMPLES[tag]
        decoder = DECODERS[directions_of(type(sample))[0]]
        for field in msgspec.structs.fields(sample):
            if field.required:
                less = {k: v for k, v in msgspec.json.decode(encoded(sample)).items() if k != field.encode_name}
                error = decode_error(decoder, msgspec.json.encode(less))
                assert field.encode_name in error.reason and tag in error.reason

    def test_defaults_stay_off_the_wire(self) -> None:
        assert encode_frames([m.Call(id="a", tool="b")]) == [b'{"type":"call","id":"a","tool":"b"}']

    def test_arguments_pass_through_unread(self) -> None:
        odd = b'{ "a" : 1e2, "a":\t1.0 , "\\u00e4": [ ] }'
        (call,) = codec.to_connector.decode(b'{"type":"call","id":"a","tool":"b","arguments":' + odd + b"}")
        assert isinstance(call, m.Call)
        assert bytes(call.arguments) == odd
        assert odd in encode_frames([call])[0]


class TestMalformed:
    @EVERY_DECODER
    @pytest.mark.parametrize(
        "frame",
        [
            b"",
            b" ",
            b"null",
            b"5",
            b'"hello"',
            b"{",
            b"{}",
            b'{"type":5}',
            b'{"type":null}',
            b"[[]]",
            b'[{"type":"new"},5]',
            b'[{"type":"new"},{"seq":1}]',
            b'[{"type":"new"}, garbage',
            b'[{"type":"new"}',
            b'{"type":"heartbeat"}',
            b'{"type":"heartbeat","seq":"1"}',
            b'{"type":"heartbeat","seq":1.5}',
            b'{"type":"heartbeat","seq":null}',
            b'{"type":"heartbeat","seq":99999999999999999999999}',
            b'{"type":"heartbeat","seq":1}{"type":"heartbeat","seq":2}',
            b'[{"type":"heartbeat","seq":1},{"type":"heartbeat"}]',
            b'\xef\xbb\xbf{"type":"heartbeat","seq":1}',
            b'{"type":"\xff"}',
            b'{"type":"new","field":"\xff"}',
            '{"type":"new","field":"\ud800"}',
        ],
    )
    def test_frame(self, decoder: FrameDecoder[m.Message], frame: bytes | str) -> None:
        decode_error(decoder, frame)

    @pytest.mark.parametrize(
        "frame",
        [
            b'{"type":"hello","versions":[1],"role":"admin"}',
            b'{"type":"hello","versions":"1"}',
            b'{"type":"failure","id":"c","outcome":"exploded","error":{"code":"c","message":"m"}}',
            b'{"type":"failure","id":"c","outcome":"failed","error":{"code":"c"}}',
            b'{"type":"result","id":"c"}',
            b'{"type":"result","id":"c","result":"\xff"}',
            b'{"type":"webhook","id":"w","source":"s","receivedAt":1,"method":"GET","target":"/","headers":[],"body":"***"}',
            b'{"type":"webhook","id":"w","source":"s","receivedAt":1,"method":"GET","target":"/","headers":[["a"]],"body":""}',
        ],
    )
    def test_field(self, frame: bytes) -> None:
        decode_error(codec.from_connector, frame)

    @pytest.mark.parametrize("heartbeat", ["0", "-1", "0.01", '"30"'])
    def test_a_heartbeat_period_that_would_make_the_peer_spin(self, heartbeat: str) -> None:
        frame = f'{{"type":"welcome","version":1,"sessionId":"s","organizationId":"o","heartbeatS":{heartbeat}}}'
        assert "heartbeatS" in decode_error(codec.to_connector, frame).reason

    @pytest.mark.parametrize("head", [b"", b'{"type":"result","id":"a","result":', b'{"type":"new","field":'])
    @pytest.mark.parametrize("closed", [True, False])
    def test_deep_nesting(self, head: bytes, closed: bool) -> None:
        frame = head + b"[" * 100_000 + (b"]" * 100_000 + b"}" * bool(head) if closed else b"")
        decode_error(codec.from_connector, frame)

    def test_the_documented_depth_is_accepted(self) -> None:
        value = b"[" * 254 + b"]" * 254
        (result,) = codec.from_connector.decode(b'[{"type":"result","id":"a","result":' + value + b"}]")
        assert isinstance(result, m.Result) and bytes(result.result) == value

    def test_a_reason_is_cut_at_whole_characters_that_fit_a_close_frame(self) -> None:
        error = ProtocolError(CloseCode.MALFORMED, "x" + "ä" * 200)
        assert error.reason == "x" + "ä" * 59
        assert len(ProtocolError(CloseCode.MALFORMED, "\ud800" * 300).reason) == 120


class TestUnknown:
    @EVERY_DECODER
    def test_types_are_left_out_and_the_rest_keeps_its_order(self, decoder: FrameDecoder[m.Message]) -> None:
        frame = (
            '[{"type":"a"},{"type":"heartbeat","seq":1},{"type":"b","x":[{}]},{"type":"heartbeat","seq":2},{"type":""}]'
        )
        assert decoder.decode(frame) == [m.Heartbeat(seq=1), m.Heartbeat(seq=2)]

    @EVERY_DECODER
    def test_alone(self, decoder: FrameDecoder[m.Message]) -> None:
        assert decoder.decode('{"type":"weather"}') == []
        assert decoder.decode('{"field":1,"type":"weather"}') == []

    @EVERY_DECODER
    def test_empty_batch(self, decoder: FrameDecoder[m.Message]) -> None:
        assert decoder.decode(b"[]") == []


class TestBatches:
    def test_nothing_gives_no_frame(self) -> None:
        assert encode_frames([]) == []

    def test_one_message_is_an_object_and_two_are_an_array(self) -> None:
        assert encode_frames([m.Heartbeat(seq=1)]) == [b'{"type":"heartbeat","seq":1}']
        assert encode_frames([m.Heartbeat(seq=1), m.Accepted(id="a")]) == [
            b'[{"type":"heartbeat","seq":1},{"type":"accepted","id":"a"}]'
        ]

    def test_a_big_message_travels_alone(self) -> None:
        big = m.Result(id="big", result=Raw(b'"' + b"x" * BATCH_BYTES + b'"'))
        small = m.Accepted(id="a")
        frames = encode_frames([small, big, small, small])
        assert [len(codec.from_connector.decode(frame)) for frame in frames] == [1, 1, 2]

    @given(sizes=st.lists(st.integers(0, BATCH_BYTES), max_size=12))
    @settings(deadline=None)
    def test_frames_are_few_and_no_batch_passes_the_size(self, sizes: list[int]) -> None:
        messages = [m.Accepted(id="x" * size) for size in sizes]
        frames = encode_frames(messages)
        batches = [codec.from_connector.decode(frame) for frame in frames]
        assert [message for batch in batches for message in batch] == messages
        for frame, batch in zip(frames, batches, strict=True):
            assert len(batch) == 1 or len(frame) <= BATCH_BYTES + 2
        for batch, following in itertools.pairwise(batches):
            with_commas = sum(len(encoded(message)) + 1 for message in batch)
            assert with_commas + len(encoded(following[0])) > BATCH_BYTES, "the next message had fitted"


texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
raws = values.map(lambda value: Raw(msgspec.json.encode(value)))
from_connector_messages = st.one_of(
    st.builds(m.Accepted, id=texts),
    st.builds(m.Result, id=texts, result=raws, duration_ms=st.floats(0, 1e9)),
    st.builds(
        m.Failure,
        id=texts,
        outcome=st.sampled_from(list(m.Outcome)),
        error=st.builds(m.CallError, code=texts, message=texts, detail=raws),
    ),
    st.builds(m.Progress, id=texts, fraction=st.floats(0, 1), message=texts),
    st.builds(m.Heartbeat, seq=st.integers(-(2**53) + 1, 2**53 - 1)),
    st.builds(m.Webhook, id=texts, source=texts, received_at=st.floats(0, 1e10), method=texts, target=texts,
              headers=st.lists(st.tuples(texts, texts), max_size=3), body=st.binary(max_size=50)),
)  # fmt: skip


class TestAnyInput:
    @given(messages=st.lists(from_connector_messages, max_size=20))
    @settings(deadline=None)
    def test_any_list_of_messages_round_trips_in_order(self, messages: list[m.Message]) -> None:
        back = [message for frame in encode_frames(messages) for message in codec.from_connector.decode(frame)]
        assert [encoded(message) for message in back] == [encoded(message) for message in messages]

    @given(frame=st.binary(max_size=200) | st.text(max_size=200) | st.text(st.characters(), max_size=50))
    @settings(deadline=None)
    def test_random_bytes_raise_nothing_but_a_protocol_error(self, frame: bytes | str) -> None:
        only_protocol_errors(frame)

    @given(value=st.lists(values | st.fixed_dictionaries({"type": st.sampled_from([*SAMPLES, "new"])}), max_size=4))
    @settings(deadline=None)
    def test_random_json_raises_nothing_but_a_protocol_error(self, value: list[Any]) -> None:
        only_protocol_errors(msgspec.json.encode(value))
        for each in value:
            only_protocol_errors(msgspec.json.encode(each))

    @given(
        tag=st.sampled_from(list(SAMPLES)),
        at=st.integers(0, 2000),
        junk=st.binary(min_size=1, max_size=3),
        data=st.data(),
    )
    @settings(deadline=None)
    def test_damaged_messages_raise_nothing_but_a_protocol_error(
        self, tag: str, at: int, junk: bytes, data: st.DataObject
    ) -> None:
        frame = encoded(SAMPLES[tag])
        if data.draw(st.booleans()):
            frame = b"[" + frame + b',{"type":"new"}]'
        at %= len(frame)
        only_protocol_errors(frame[:at] + junk + frame[at + len(junk) :])
        only_protocol_errors(frame[:at])


def only_protocol_errors(frame: bytes | str) -> None:
    for decoder in DECODERS.values():
        try:
            messages = decoder.decode(frame)
        except ProtocolError as error:
            assert error.code is CloseCode.MALFORMED
            assert len(error.reason.encode()) <= 123
        else:
            encode_frames(messages)  # what was accepted can be sent on
