"""Command line tool ``fdabnn-train``: arguments, progress on the terminal, exit codes."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from fdabnn_deploy.cli.run import run_command
from fdabnn_deploy.errors import RuntimeMissingError, UsageError

# Seconds between two lines in a pipe while an epoch lasts.
_SILENCE = 60.0


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


class TerminalProgress:
    """A bar on a terminal, a line per minute and epoch in a pipe, nothing on the ranks after the first."""

    def __init__(self, epochs: int, *, enabled: bool) -> None:
        self.epochs = epochs
        self.console = Console(highlight=False, quiet=not enabled)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"))
        self.bar = Progress(
            *columns,
            console=self.console,
            transient=True,
            disable=not enabled or not self.console.is_terminal,
        )
        self.task = self.bar.add_task("", total=1, rate="")
        self.remaining = ""
        self.told = time.monotonic()

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def step(self, epoch: int, step: int, steps: int, images_per_second: float) -> None:
        """Move the bar, or print a line where the last one is a minute old."""
        if not self.console.is_terminal and time.monotonic() - self.told >= _SILENCE:
            self.told = time.monotonic()
            self.console.print(
                f"{time.strftime('%H:%M:%S')}  epoch {epoch + 1}/{self.epochs}  step {step}/{steps}  {images_per_second:.0f} images/s",
                soft_wrap=True,
            )
        self.bar.update(
            self.task,
            description=f"epoch {epoch + 1}/{self.epochs}",
            completed=step,
            total=steps,
            rate=f"{images_per_second:.0f} images/s{self.remaining}",
        )

    def epoch(self, row: dict[str, float], remaining_seconds: float) -> None:
        """Print the line of an epoch."""
        self.told = time.monotonic()
        self.remaining = f", {_duration(remaining_seconds)} left"
        self.console.print(
            f"{time.strftime('%H:%M:%S')}  epoch {row['epoch']:.0f}/{self.epochs}"
            f"  loss {row['train_loss']:.3f}  train {row['train_accuracy']:.2%}"
            f"  test {row['test_accuracy']:.2%}  alpha {row['alpha']:.4f}  n {row['n']:.0f}"
            f"  {row['seconds']:.0f} s  {row['images_per_second']:.0f} images/s{self.remaining}",
            soft_wrap=True,
        )

    def note(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, soft_wrap=True)


def _numbers(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(value) for value in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list such as 0.49,0.48,0.45") from None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
@click.version_option(package_name="fdabnn-deploy", message="%(prog)s %(version)s")
@click.option("--recipe", help="Recipe by its name, or a .yaml file; other options override it.")
@click.option("--arch", help="Architecture, for example resnet20.")
@click.option("--model", help="Your own network instead, as package.module:factory.")
@click.option(
    "--data",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder with CIFAR-10, CIFAR-100, or train/ and val/ with a folder of images per class.",
)
@click.option("--epochs", type=click.IntRange(min=1))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Checkpoint to write."
)
@click.option("--init", type=click.Path(dir_okay=False), help="Checkpoint to start from, as far as it fits.")
@click.option("--batch-size", type=click.IntRange(min=2), help="[default: 128]")
@click.option("--optimizer", type=click.Choice(["sgd", "adam"]), help="[default: sgd]")
@click.option(
    "--lr", type=click.FloatRange(min=0, min_open=True), help="[default: 0.1 with sgd, 0.001 with adam]"
)
@click.option("--weight-decay", type=click.FloatRange(min=0), help="[default: 0.0001 with sgd, 0 with adam]")
@click.option("--seed", type=click.IntRange(min=0), help="[default: 0]")
@click.option(
    "--scale",
    type=click.Choice(["tensor", "channel"]),
    help="One weight scale per layer, or one per output channel.  [default: tensor]",
)
@click.option("--mean", callback=_numbers, help="Per channel, on the scale 0 .. 1.  [default: the data's]")
@click.option("--std", callback=_numbers, help="Likewise.")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@click.option("--amp/--no-amp", default=None, help="Forward and backward pass in bfloat16.")
@click.option(
    "--compile/--no-compile",
    "compile_model",
    default=False,
    help="Train with torch.compile. On x86-64 processors the fused passes are faster without.",
)
@click.option(
    "--plain-epochs", type=click.IntRange(min=0), help="Train the last epochs without random crops."
)
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads.  [default: PyTorch's choice]")
@click.option(
    "--keep-epoch",
    "keep_epochs",
    multiple=True,
    type=click.IntRange(min=1),
    help="Keep the checkpoint after this epoch as well; can be given several times.",
)
def _train(
    recipe: str | None,
    arch: str | None,
    model: str | None,
    folder: Path,
    out: Path,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    device: str,
    compile_model: bool,
    threads: int | None,
    keep_epochs: tuple[int, ...],
    **given: Any,
) -> None:
    """Train an FDA-BNN and write its checkpoint.

    A run that was stopped continues from OUT.state when the same command is given again, with the same result
    as an unbroken run. OUT.csv holds one row per epoch, OUT.tensorboard the same for TensorBoard where that is
    installed. Runs on several processes under torchrun.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise RuntimeMissingError(
            "training needs PyTorch: install it with  pip install 'fdabnn-deploy[train]'"
        ) from None
    from fdabnn_models.architectures.registry import architecture_names, network_shape
    from fdabnn_models.data.dataset import load_dataset
    from fdabnn_models.training.distributed import join_ranks, leave_ranks
    from fdabnn_models.training.memory import keep_freed_memory
    from fdabnn_models.training.recipe import merge, read_recipe
    from fdabnn_models.training.train import Trainer

    if arch is not None and model is not None:
        raise UsageError("--arch and --model exclude each other: an own network is named by --model alone")
    if arch is not None and arch not in architecture_names():
        known = ", ".join(architecture_names()) or "none is installed"
        raise UsageError(f"there is no architecture {arch!r}; known: {known}")
    chosen = merge(read_recipe(recipe) if recipe else {}, {"arch": model or arch, **given})
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeMissingError("this PyTorch finds no CUDA device; use --device cpu")
    if threads:
        torch.set_num_threads(threads)
    if device == "cpu":
        keep_freed_memory()
    ranks = join_ranks(device)
    try:
        if device == "cuda":
            torch.cuda.set_device(ranks.local)
        data = load_dataset(folder, network_shape(chosen.arch) or (3, 32, 32), device, mean=mean, std=std)
        with TerminalProgress(chosen.epochs, enabled=ranks.first) as progress:
            trainer = Trainer(
                chosen,
                data,
                out,
                device=device,
                ranks=ranks,
                compile_model=compile_model,
                keep_epochs=keep_epochs,
                progress=progress,
            )
            if trainer.resume():
                progress.note(f"continuing after epoch {trainer.finished}")
            accuracy = trainer.run()
            progress.note(f"test accuracy {accuracy:.2%}")
    finally:
        leave_ranks()


def main(args: list[str] | None = None) -> int:
    """Entry point of ``fdabnn-train``; returns the exit code (see ``fdabnn_deploy.errors``)."""
    return run_command(_train, "fdabnn-train", args)


if __name__ == "__main__":
    sys.exit(main())
