"""`fdabnn-profile`: a model measured on devices, and two profiles compared."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

import fdabnn_deploy
from fdabnn_deploy.cli.options import Numbers, debug_option, file_option, version_option
from fdabnn_deploy.cli.run import run_command
from fdabnn_deploy.errors import FdabnnError, NotWrittenError, SlowerError, UsageError
from fdabnn_deploy.system.files import check_outputs

NAME = "fdabnn-profile"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
# readable=False: whether a file can be read is seen by reading it, also where access() is answered by an emulation.
@click.argument("model", type=click.Path(path_type=Path, readable=False), required=False)
@click.option(
    "--device",
    "devices",
    metavar="DEVICE",
    multiple=True,
    help="local (the default), qemu-aarch64, ssh://user@host[:port] or adb[:serial]; repeatable, all at once.",
)
@click.option(
    "--threads",
    type=Numbers(int, "numbers such as 1,2,4"),
    default="1",
    metavar="N,..",
    show_default=True,
    help="Numbers of threads, measured one after the other.",
)
@click.option(
    "--runs", type=click.IntRange(1, 1_000_000), default=200, show_default=True, help="Timed runs of each."
)
@click.option("--warmup", type=click.IntRange(0), default=20, show_default=True, help="Runs before them.")
@click.option("--cpus", metavar="LIST", default="", help="Pin the threads, such as 0,2-3.")
@click.option(
    "--xnnpack/--no-xnnpack",
    default=True,
    show_default=True,
    help="Whether LiteRT's XNNPACK takes the float operators of the model as a whole.",
)
@click.option(
    "--baseline",
    metavar="fp32|int8|MODEL2",
    help="Compare with the full-precision or 8-bit network of the same layers, or with another model.",
)
@file_option(
    "--capsule",
    text="Of the self-test; by default one is made with this machine's runtime.",
    dir_okay=False,
    readable=False,
)
@file_option("--ssh-identity", text="Private key to log in with.")
@file_option("--ssh-known-hosts", text="Host keys, instead of ~/.ssh/known_hosts.")
@file_option("--ssh-config", text="The client's configuration, instead of ~/.ssh/config.")
@click.option(
    "--clean", is_flag=True, help="Leave nothing on the devices, not even what saves the next push."
)
@click.option(
    "--ignore-checksum", is_flag=True, help="Measure an ONNX file that has changed since its export, too."
)
@file_option("--json", "json_path", text="Write everything as JSON.")
@file_option("--html", "html_path", text="Write a report to look at: one file, no network.")
@click.option(
    "--compare",
    "compared",
    nargs=2,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OLD NEW",
    help="Compare two files of --json instead: which layers changed beyond noise.",
)
@debug_option
@version_option
def _profile(
    model: Path | None,
    devices: tuple[str, ...],
    threads: tuple[int, ...],
    runs: int,
    warmup: int,
    cpus: str,
    xnnpack: bool,
    baseline: str | None,
    capsule: Path | None,
    ssh_identity: Path | None,
    ssh_known_hosts: Path | None,
    ssh_config: Path | None,
    clean: bool,
    ignore_checksum: bool,
    json_path: Path | None,
    html_path: Path | None,
    compared: tuple[Path, Path] | None,
    debug: bool,
) -> None:
    """Measure MODEL, a .tflite or .onnx file, on devices, after it has proved there that it computes the right bits.

    Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 model refused, 4 self-test failed, 5 a layer got slower (--compare),
    6 a device or runtime is missing, or a file cannot be written.
    """
    # Here, because `--help` needs none of it.
    from fdabnn_deploy.cli.console import console_for, make_console
    from fdabnn_deploy.cli.device_progress import DeviceProgress
    from fdabnn_deploy.cli.tables.profile_tables import print_changes, print_profile
    from fdabnn_deploy.measure.profile_report import html
    from fdabnn_deploy.measure.profile_report.compare import other_settings

    console = console_for(json_path, html_path)
    if compared is not None:
        if model is not None:
            raise UsageError("--compare takes two files of --json and no model")
        changes = fdabnn_deploy.compare_profiles(*compared)
        print_changes(console, changes, other_settings(*compared))
        slower = [change for change in changes if change.outcome == "slower"]
        if slower:
            names = ", ".join(dict.fromkeys(change.what for change in slower))
            raise SlowerError(f"slower than in {compared[0]}: {names}")
        return
    if model is None:
        raise UsageError("no model: give a .tflite or .onnx file, or --compare OLD NEW")
    if html_path is not None:
        html.check()
    inputs = {
        "MODEL": model,
        "--capsule": capsule,
        "--baseline": None if baseline is None else Path(baseline),
    }
    check_outputs({"--json": json_path, "--html": html_path}, inputs)
    with DeviceProgress(make_console(stderr=True)) as progress:
        result = fdabnn_deploy.profile(
            model,
            devices or ("local",),
            threads=threads,
            runs=runs,
            warmup=warmup,
            cpus=cpus,
            xnnpack=xnnpack,
            baseline=baseline,
            capsule=capsule,
            ssh=fdabnn_deploy.SshOptions(ssh_identity, ssh_known_hosts, ssh_config),
            clean=clean,
            ignore_checksum=ignore_checksum,
            progress=progress,
        )
    errors: list[FdabnnError] = [*result.errors]
    for path, write in (
        (json_path, result.write_json),
        (html_path, partial(html.write_profile_html, result)),
    ):
        try:
            if path is not None:
                write(path)
        except NotWrittenError as error:
            errors.append(error)
    # Last, for the reader of a pipe may go away; and also where a file cannot be written.
    print_profile(console, result)
    if errors:
        raise errors[0]


def main(args: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code (see `fdabnn_deploy.errors`)."""
    return run_command(_profile, NAME, args)


if __name__ == "__main__":
    sys.exit(main())
