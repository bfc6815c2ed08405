"""Parts of the candidate that are the user's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainloop.compare.plugins import OwnOptimizer, load_rules, load_substitutes, plugin_file
from trainloop.compare.settings import Plugins
from trainloop.errors import PluginError
from trainloop.manual import RULES
from trainloop.plugin import load_function

SOURCE = '''\
"""Parts of a step."""

import torch
import torch.nn.functional as F

from trainloop.manual import RULES

number = 3
my_rule = RULES[F.relu]


class Plain(torch.optim.SGD):
    """Knows lr alone."""

    def __init__(self, params, lr):
        super().__init__(params, lr=lr)


class TakesAll(torch.optim.SGD):
    """Takes whatever SGD takes."""

    def __init__(self, params, **settings):
        super().__init__(params, **settings)


class Fails(torch.optim.SGD):
    """Cannot be built."""

    def __init__(self, params, lr):
        raise ArithmeticError("out of luck")


class NoStep:
    """Is no optimizer."""

    def __init__(self, params, lr):
        pass


def cross_entropy(logits, labels):
    return F.cross_entropy(logits, labels)


def my_relu(input, inplace=False):
    y = input.clamp(min=0)
    return y, (y,)


def my_relu_vjp(grad_output, y):
    return (grad_output * (y > 0),)


def lonely(x):
    return x, ()
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def groups():
    return [{"params": [torch.nn.Parameter(torch.ones(2))], "weight_decay": 0.0}]


def refused(function, *args, **kwargs):
    with pytest.raises(PluginError) as error:
        function(*args, **kwargs)
    return str(error.value)


def test_without_plugins_nothing_is_replaced():
    substitutes = load_substitutes(Plugins())
    assert (substitutes.optimizer, substitutes.loss) == (None, None)
    assert substitutes.rules is RULES


def test_a_kernel_for_convolutions_is_imported_by_its_whole_name(file):
    conv = load_substitutes(Plugins(conv=f"winograd,{file}:lonely,aten")).conv
    assert list(conv) == [f"{file}:lonely"]


def test_a_kernel_that_cannot_train_is_refused_with_the_option(file):
    text = refused(load_substitutes, Plugins(conv=f"{file}:lonely"))
    assert text.startswith(f"--candidate-conv: {file}:lonely cannot train a network: mine.py has no lonely_grad_input")


def test_a_kernel_of_the_config_needs_the_command_lines_leave(file):
    assert "a config alone never runs a file" in refused(load_substitutes, Plugins(), [], f"{file}:lonely,aten")
    assert list(load_substitutes(Plugins(), [file], f"{file}:lonely,aten").conv) == [f"{file}:lonely"]


def test_a_loss_is_imported(file):
    loss = load_substitutes(Plugins(loss=f"{file}:cross_entropy")).loss
    assert loss(torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64)).item() == pytest.approx(1.386294)


def test_an_optimizer_gets_what_it_knows(file):
    optimizer = OwnOptimizer(f"{file}:Plain")(groups(), lr=0.3, momentum=0.0, nesterov=False)
    assert optimizer.param_groups[0]["lr"] == 0.3


def test_an_optimizer_with_open_settings_gets_all(file):
    optimizer = OwnOptimizer(f"{file}:TakesAll")(groups(), lr=0.3, momentum=0.9)
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_an_optimizer_that_lacks_a_setting_is_refused_with_its_value(file):
    text = refused(OwnOptimizer(f"{file}:Plain"), groups(), lr=0.3, momentum=0.9)
    assert "Plain does not take momentum" in text
    assert "found: momentum=0.9, a setting of the config's optimizer" in text
    assert "expected: Plain(params, lr)" in text
    assert "--set optimizer.momentum=0" in text


@pytest.mark.parametrize(("name", "decays"), [("Plain", False), ("TakesAll", True)])
def test_an_optimizer_knows_whether_it_decays(file, name, decays):
    assert OwnOptimizer(f"{file}:{name}").decays is decays


def test_an_optimizer_that_raises_is_named_with_its_reason(file):
    text = refused(OwnOptimizer(f"{file}:Fails"), groups(), lr=0.3)
    assert "Fails cannot be built" in text
    assert "out of luck" in text
    assert "mine.py" in text


def test_an_object_that_is_no_optimizer_is_refused(file):
    text = refused(OwnOptimizer(f"{file}:NoStep"), groups(), lr=0.3)
    assert "the optimizer has no step" in text
    assert "found: an object of class NoStep" in text


def test_a_file_without_the_name_lists_those_it_has(file):
    text = refused(load_function, f"{file}:Plian", "--candidate-optimizer")
    assert "the file has no Plian" in text
    assert "TakesAll" in text
    assert "did you mean Plain?" in text


@pytest.mark.parametrize("text", ["mine.py", "Plain", "mine.py:", "mine.py:not a name", "mine.txt:Plain"])
def test_a_text_without_file_and_name_is_refused(text):
    message = refused(load_function, text, "--candidate-loss")
    assert message.startswith("--candidate-loss: the name in the file is missing")
    assert f"found: {text}" in message
    assert "expected: path/to/file.py:name" in message


def test_a_file_that_is_missing_is_named(tmp_path):
    assert f"{tmp_path / 'no.py'}: there is no such file" in refused(
        load_function, f"{tmp_path / 'no.py'}:f", "--candidate-loss"
    )


def test_a_name_that_cannot_be_called_is_refused(file):
    text = refused(load_function, f"{file}:number", "--candidate-loss")
    assert "number cannot be called" in text
    assert "found: a int" in text


def test_a_forward_with_its_vjp_takes_the_place_of_the_rule_it_is_named_after(file):
    (function, *_), (rule, *_) = zip(*load_rules(f"{file}:my_relu").items(), strict=True)
    assert function in RULES
    assert rule.name == "relu"


def test_a_rule_can_be_said_which_to_replace(file):
    rules = load_rules(f"sigmoid={file}:my_relu")
    assert {rule.name for rule in rules.values()} == {"sigmoid"}


def test_a_ready_rule_stands_for_its_own_functions(file):
    assert F.relu in load_rules(f"{file}:my_rule")


def test_a_forward_without_a_vjp_is_refused(file):
    text = refused(load_rules, f"relu={file}:lonely")
    assert "there is no vjp for lonely" in text
    assert "lonely_vjp(grad_output, *saved)" in text


def test_a_rule_that_does_not_exist_has_its_nearest_name(file):
    text = refused(load_rules, f"relx={file}:my_relu")
    assert "There is none called relx" in text
    assert f"did you mean relu={file}:my_relu?" in text


def test_the_file_of_a_plugin_is_found_behind_a_rule():
    assert plugin_file("relu=a/mine.py:f").as_posix() == "a/mine.py"


def test_a_forward_with_other_argument_names_is_told_those_of_the_rule(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def my_relu(x):\n    return x, ()\n\ndef my_relu_vjp(grad_output):\n    return grad_output\n")
    with pytest.raises(PluginError) as caught:
        load_rules(f"{file}:my_relu")
    text = str(caught.value)
    assert "my_relu does not fit the rule relu" in text
    assert "forward takes x" in text
    assert "input, inplace" in text
