"""Tests. A package, so that `test` is not the standard library's, whatever import mode pytest uses."""
