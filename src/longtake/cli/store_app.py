"""cli/store_app: the commands below `longtake store`, and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.cli import options as opt

SizeLimit = Annotated[
    str | None, typer.Option("--to", metavar="SIZE", help="Until no more than this is left, like 5GiB.")
]
Age = Annotated[
    str | None, typer.Option("--older-than", metavar="AGE", help="What was not used for so long, like 12h, 30d or 8w.")
]


store_app = typer.Typer(help="What is kept of watched videos.", no_args_is_help=True, rich_markup_mode="rich")


@store_app.command("list")
def list_(folder: opt.StoreFolder = None, as_json: opt.AsJson = False) -> None:
    """List what is kept, the longest unused first."""
    from longtake.cli.keeping import list_store

    list_store(folder, as_json=as_json)


@store_app.command()
def size(folder: opt.StoreFolder = None, as_json: opt.AsJson = False) -> None:
    """Tell how much is kept, and how much may be."""
    from longtake.cli.keeping import print_size

    print_size(folder, as_json=as_json)


@store_app.command()
def prune(
    folder: opt.StoreFolder = None,
    to: SizeLimit = None,
    older_than: Age = None,
    as_json: opt.AsJson = False,
) -> None:
    """Remove what was used longest ago; everything, if nothing says how much."""
    from longtake.cli.keeping import prune_store

    prune_store(folder, to, older_than, as_json=as_json)


@store_app.command()
def verify(folder: opt.StoreFolder = None, as_json: opt.AsJson = False) -> None:
    """Read all that is kept and check every sum; what is damaged is removed."""
    from longtake.cli.keeping import verify_store

    verify_store(folder, as_json=as_json)


def with_store(app: typer.Typer) -> typer.Typer:
    """`app` with the commands about what is kept."""
    app.add_typer(store_app, name="store")
    return app
