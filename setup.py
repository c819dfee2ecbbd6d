"""Hands the kernel's build description to setuptools: cffi offers no pyproject key for it."""

from setuptools import setup

setup(cffi_modules=["core/kernel/build.py:ffi"])
