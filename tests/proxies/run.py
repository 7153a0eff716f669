"""Runs the tests here and says how many passed, in the words that `cargo xtask test` counts."""

import sys
import unittest

suite = unittest.defaultTestLoader.discover(".")
result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
print(f"# pass {max(result.testsRun - failed, 0)}")
print(f"# fail {failed}")
sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)
