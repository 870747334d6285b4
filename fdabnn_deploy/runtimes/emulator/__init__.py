"""Runtimes for ARM under the emulator qemu-aarch64."""
