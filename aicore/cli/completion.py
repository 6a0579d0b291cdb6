# SPDX-License-Identifier: Apache-2.0
"""`aicore completion`: click's own scripts."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  aicore completion bash > ~/.local/share/bash-completion/completions/aicore
    zsh:   aicore completion zsh > a file _aicore of a folder in $fpath
    fish:  aicore completion fish > ~/.config/fish/completions/aicore.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None  # the choices are click's
    click.echo(script(ctx.find_root().command, {}, "aicore", "_AICORE_COMPLETE").source())
