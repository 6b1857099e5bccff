"""What stands in for a request and its connection where the engine is called in this process."""

from __future__ import annotations

from typing import Any


class OwnPeer:
    """A request that is its own connection: what the engine says comes to its `emit`."""

    @property
    def peer(self) -> Any:
        return self

    def told(self, event: Any) -> Any:
        return event

    def send(self, *events: Any) -> None:
        for event in events:
            self.emit(event)

    def emit(self, event: Any) -> None:
        raise NotImplementedError
