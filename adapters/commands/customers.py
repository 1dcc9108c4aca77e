import click


@click.group()
def customers() -> None:
    """Placeholder."""
