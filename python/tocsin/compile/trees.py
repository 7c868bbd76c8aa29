"""Trees: walks over IR that do not recurse, since a CASE of ten thousand branches is as many levels deep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

from tocsin.compile.ir import Node, Nodes


def column_of(node: Node) -> tuple[int, int]:
    """What a "column" node reads: (column, lag)."""
    assert node.op == "column"
    return cast(tuple[int, int], node.attr)


def leaf_of(node: Node) -> int:
    """Which leaf a "leaf" node reads."""
    assert node.op == "leaf"
    return cast(int, node.attr)


def walk(*roots: Node) -> Iterator[Node]:
    """Every distinct node of the trees once, parents before what only they hold."""
    seen: set[int] = set()
    stack = list(reversed(roots))
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        stack.extend(reversed(node.args))


def rebuild(root: Node, nodes: Nodes, change: Callable[[Node], Node | None]) -> Node:
    """`root` with every node for which `change` gives another one in its place, and not looked into.

    What has nothing changed below it stays the same object.
    """
    done: dict[int, Node] = {}
    stack = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        if ready:
            args = tuple(done[id(a)] for a in node.args)
            same = all(a is b for a, b in zip(args, node.args, strict=True))
            done[id(node)] = node if same else nodes.make(node.op, node.type, args, node.attr, node.span)
            continue
        changed = change(node)
        if changed is not None:
            done[id(node)] = changed
            continue
        stack.append((node, True))
        stack.extend((a, False) for a in node.args)
    return done[id(root)]


def conjuncts(node: Node) -> list[Node]:
    """What has to be true for `node` to be: itself, or the sides of its ANDs, from left to right."""
    found: list[Node] = []
    stack = [node]
    while stack:
        part = stack.pop()
        if part.op == "and":
            stack.extend(reversed(part.args))
        else:
            found.append(part)
    return found
