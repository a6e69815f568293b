"""`xloss.testing` and the pytest plugin, run as users run them."""

import subprocess
import sys

import numpy as np
import pytest

from xloss.testing import assert_parity

pytest_plugins = ["pytester"]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 4)), RNG.integers(0, 4, 6)


def jax_ce(logits, labels):
    import jax
    import jax.numpy as jnp

    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


def test_healthy_pairs_pass():
    import torch

    assert_parity(torch.nn.functional.cross_entropy, jax_ce, {"input": X, "target": Y})
    assert_parity(torch.nn.CrossEntropyLoss(), jax_ce, [X, Y], per_sample=True, dtypes=("float32", "bfloat16"))
    assert_parity(torch.nn.functional.cross_entropy, jax_ce, "cross_entropy")


def test_a_wrong_one_fails_with_the_worst_element_and_the_cause():
    import torch

    with pytest.raises(AssertionError) as raised:
        assert_parity(torch.nn.functional.cross_entropy, lambda x, y: jax_ce(x, y) * len(x), [X, Y])
    said = str(raised.value)
    assert "greatest absolute difference" in said
    assert "ulps" in said
    assert "cause: " in said


@pytest.mark.parametrize(
    ("how", "kind", "says"),
    [
        ({"torch_fn": 3}, TypeError, "torch_fn: expected a function, got int"),
        ({"inputs": 3}, TypeError, "inputs: expected arrays"),
        ({"inputs": "crossentropy"}, ValueError, "inputs: no loss 'crossentropy'; did you mean"),
        ({"inputs": {"input": np.array(["a"])}}, TypeError, "inputs: input: expected an array of numbers"),
        ({"wrt": ["z"]}, ValueError, "wrt: expected names among input, got 'z'"),
        ({"dtypes": ("float3",)}, ValueError, "dtypes"),
        ({"device": "tpu"}, ValueError, "device"),
        ({"truth": 3}, TypeError, "truth"),
        ({"microbatches": -1}, ValueError, "microbatches"),
    ],
)
def test_wrong_arguments_are_named(how, kind, says):
    given = {"torch_fn": jax_ce, "jax_fn": jax_ce, "inputs": {"input": X, "target": Y}, **how}
    with pytest.raises(kind, match=says):
        assert_parity(given.pop("torch_fn"), given.pop("jax_fn"), given.pop("inputs"), **given)


def test_the_fixture_fails_the_test_and_writes_a_report(pytester):
    pytester.makepyfile(
        """
        import numpy as np
        X, Y = np.eye(4), np.arange(4)

        def torch_ce(x, y):
            import torch
            return torch.nn.functional.cross_entropy(x, y)

        def jax_ce(x, y):
            import jax, jax.numpy as jnp
            return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1).mean()

        def test_right(parity):
            parity(torch_ce, jax_ce, [X, Y])

        def test_wrong(parity):
            parity(torch_ce, lambda x, y: 2 * jax_ce(x, y), [X, Y])
        """
    )
    found = pytester.runpytest_subprocess("--xloss-report", "out.html", "-p", "no:cacheprovider")
    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(["*cause:*"])
    page = (pytester.path / "out.html").read_text()
    assert page.count("<h2>") == 2
    assert "test_wrong" in page


def test_a_run_without_the_fixture_imports_no_framework(pytester):
    pytester.makepyfile(
        "import sys\n\n\ndef test_none():\n    assert not {'torch', 'jax', 'pandas'} & set(sys.modules)\n"
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_importing_it_imports_no_framework():
    code = "import sys, xloss.testing; assert not {'torch', 'jax', 'pandas'} & set(sys.modules), sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
