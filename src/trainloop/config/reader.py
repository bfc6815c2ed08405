"""A YAML reader for configs: the event layer of PyYAML, positions kept, nothing constructed, surprises refused.

Duplicate keys, anchors, aliases, tags, merge keys, keys that are not plain text, several documents and deep nesting
are faults, each with its place; everything else in the file is still read, so that all faults are reported at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from trainloop.config.nodes import Entry, ListNode, MapNode, Node, Place, PlacedFault, ScalarNode, printable
from trainloop.config.scalars import plain_value
from trainloop.config.syntax import Locate, syntax_fault
from trainloop.errors import Fault

MAX_DEPTH = 12
MAX_VALUES = 500


def read_yaml(text: str, locate: Locate, faults: list[PlacedFault]) -> Node | None:
    """Return the first document of ``text`` as nodes.

    Args:
        text: the YAML text.
        locate: turns a line and a column (from 0) into a place.
        faults: what is wrong is appended here.

    Returns:
        The root node; None when the text is empty or cannot be read to its end.
    """
    reader = _Reader(yaml.parse(text, Loader=yaml.SafeLoader), locate, faults)
    try:
        return reader.document()
    except yaml.YAMLError as error:
        faults.append(syntax_fault(error, locate, text))
    except _TooMuchError as error:
        faults.append(error.fault)
    return None


class _TooMuchError(Exception):
    """The text is nested too deeply or too long to go on."""

    def __init__(self, fault: PlacedFault) -> None:
        super().__init__(fault.fault.what)
        self.fault = fault


class _Reader:
    """Builds nodes from events, one value at a time."""

    def __init__(self, events: Iterator[yaml.Event], locate: Locate, faults: list[PlacedFault]) -> None:
        self.events = events
        self.locate = locate
        self.faults = faults
        self.depth = 0
        self.num_values = 0

    def document(self) -> Node | None:
        """Read the first document; a second one is a fault."""
        node: Node | None = None
        num_documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                num_documents += 1
            elif isinstance(event, yaml.NodeEvent):
                value = self.value(event)
                if num_documents == 1:
                    node = value
                else:
                    self._second_document(event)
                    break
        return node

    def _second_document(self, event: yaml.Event) -> None:
        self.fault(event, "a second document begins here", help="keep one document: remove the `---` line")

    def value(self, event: yaml.Event) -> Node | None:
        """Read the value that ``event`` begins; None for an alias, which is a fault."""
        self._count(event)
        if isinstance(event, yaml.AliasEvent):
            self.fault(
                event,
                "aliases are not allowed",
                found=f"*{event.anchor}",
                help="write the value out, or put quotes around text that begins with `*`",
            )
            return None
        self._refuse_decoration(event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event)
        assert isinstance(event, yaml.ScalarEvent)
        return self._scalar(event)

    def _count(self, event: yaml.Event) -> None:
        self.num_values += 1
        if self.num_values > MAX_VALUES:
            raise _TooMuchError(self._placed(event, "too many values for a config", expected=f"at most {MAX_VALUES}"))
        if self.depth > MAX_DEPTH:
            raise _TooMuchError(self._placed(event, "nested too deeply", expected=f"at most {MAX_DEPTH} levels"))

    def _refuse_decoration(self, event: yaml.Event) -> None:
        if (anchor := getattr(event, "anchor", None)) is not None:
            self.fault(event, "anchors are not allowed", found=f"&{anchor}", help="write the value out where used")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            self.fault(
                event, "tags are not allowed", found=_short_tag(tag), help="write the plain value, without a tag"
            )

    def _scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        quoted = event.style is not None
        value = event.value if quoted else plain_value(event.value)
        text = f"{event.style}{event.value}{event.style}" if event.style in ("'", '"') else event.value
        if any("\ud800" <= character <= "\udfff" for character in event.value):
            self.fault(event, "text that is not valid Unicode", found=ascii(event.value))
            value = "?"
        return ScalarNode(value, text, self.place(event), quoted)

    def _sequence(self, start: yaml.SequenceStartEvent) -> ListNode:
        node = ListNode(self.place(start))
        self.depth += 1
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            if (item := self.value(event)) is not None:
                node.items.append(item)
        self.depth -= 1
        return node

    def _mapping(self, start: yaml.MappingStartEvent) -> MapNode:
        node = MapNode(self.place(start))
        self.depth += 1
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._key(event)
            value = self.value(next(self.events))
            if key is not None:
                self._add(node, key, event, value)
        self.depth -= 1
        return node

    def _key(self, event: yaml.Event) -> str | None:
        if not isinstance(event, yaml.ScalarEvent):
            if self.value(event) is not None:
                self.fault(event, "a key must be plain text", help="write `key: value`")
            return None
        self._refuse_decoration(event)
        if event.value == "<<" and event.style is None:
            self.fault(event, "merge keys are not allowed", found="<<", help="write the keys out")
            return None
        return str(event.value)

    def _add(self, node: MapNode, key: str, event: yaml.Event, value: Node | None) -> None:
        if key in node.entries:
            first = node.entries[key].key_place.origin.where
            self.fault(
                event,
                f"`{printable(key)}` is given twice in one section",
                found=printable(key),
                help=f"first at {first}; keep one",
            )
        elif value is not None:
            node.entries[key] = Entry(self.place(event), value)

    def place(self, event: yaml.Event) -> Place:
        """Return where the event begins."""
        mark = event.start_mark
        return self.locate(mark.line, mark.column) if mark is not None else self.locate(0, 0)

    def fault(self, event: yaml.Event, what: str, *, found: str = "", help: str = "") -> None:
        """Note a fault at the event."""
        self.faults.append(self._placed(event, what, found=found, help=help))

    def _placed(
        self, event: yaml.Event, what: str, *, found: str = "", expected: str = "", help: str = ""
    ) -> PlacedFault:
        place = self.place(event)
        return PlacedFault(place.rank, Fault(what, place.origin.where, found, expected, help))


def _short_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
