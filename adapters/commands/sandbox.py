import click


@click.group()
def sandbox() -> None:
    """Placeholder."""
