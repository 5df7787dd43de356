"""Names of methods become commands of the tools."""

from pathlib import Path

import numpy as np
import pytest

import ants_syn
import demons
import elastix
import greedy
import methods
import process
from dataset import read_task
from optreg import RegistrationConfig
from setup_env import PACKAGES

ANTS = ("ants-syn", "ants-syn-tuned")


@pytest.mark.parametrize("name", methods.NAMES)
def test_every_name_has_a_script_with_a_run(name):
    method = methods.named(name)
    assert method.name == name
    if method.script:
        text = (Path(process.__file__).parent / method.script).read_text()
        assert "\ndef run(" in text
    if method.environment:
        assert method.environment in PACKAGES


def test_unknown_names_and_missing_environments_are_explained(tmp_path):
    with pytest.raises(ValueError, match="greedy-tuned"):
        methods.named("greedy-best")
    for name in ("none", "demons"):
        with pytest.raises(ValueError, match="no smoothing"):
            methods.smoothed(name, 1.0)
    with pytest.raises(FileNotFoundError, match=r"setup_env\.py greedy"):
        methods.named("greedy-stock").python(tmp_path)


def test_variants_of_greedy():
    assert greedy.command("stock", 2) == (
        "-d 3 -m NCC 2x2x2 -n 100x100x50 -s 1.732vox 0.7071vox -threads 2 -wp 0"
    )
    assert greedy.command("tuned", 2) == (
        "-d 3 -m WNCC 2x2x2 -n 100x100x40 -s 1.5vox 0.5vox -threads 2 -wp 0"
    )
    two_contrasts = methods.named("greedy-nmi").settings
    assert greedy.command(threads=2, **two_contrasts).startswith("-d 3 -m NMI -n 100x100x50 ")


def test_smoothing_reaches_the_command():
    tuned = methods.smoothed("greedy-tuned", 0.7)
    assert "-s 1.5vox 0.7vox" in greedy.command(threads=1, **tuned.settings)
    stock = methods.smoothed("greedy-stock", 1)
    assert "-s 1.732vox 1vox" in greedy.command(threads=1, **stock.settings)
    syn = ants_syn.arguments(**methods.smoothed("ants-syn", 0.25).settings)
    assert syn["type_of_transform"] == "SyNOnly"
    assert (syn["syn_sampling"], syn["flow_sigma"], syn["total_sigma"]) == (2, 3.0, 0.25)


def test_stock_and_tuned_syn():
    stock, tuned = (ants_syn.arguments(**methods.named(n).settings) for n in ANTS)
    assert stock == {"type_of_transform": ants_syn.CHALLENGE}
    assert (tuned["type_of_transform"], tuned["syn_metric"]) == ("SyNOnly", "CC")
    assert (tuned["syn_sampling"], tuned["grad_step"], tuned["total_sigma"]) == (4, 0.1, 0.5)
    assert tuned["reg_iterations"] == (100, 70, 50, 20)


def test_smoothing_of_optreg_scales_every_level():
    import optreg_method

    method = methods.smoothed("optreg-fast", 2.0)
    config = optreg_method.configuration(**method.settings)
    before = RegistrationConfig.preset("fast").continuous.field_sigma_vox
    assert config.continuous.field_sigma_vox == pytest.approx([2 * sigma for sigma in before])
    assert config.continuous.iterations == RegistrationConfig.preset("fast").continuous.iterations


def test_bending_energy_is_a_second_metric_of_elastix():
    plain = elastix.chosen_parameters()
    assert plain == elastix.BRAIN
    both = elastix.chosen_parameters({"Metric": ["A"], "NumberOfResolutions": ["3"]}, bending=2.5)
    assert both["Metric"] == ["A", "TransformBendingEnergyPenalty"]
    assert both["Registration"] == ["MultiMetricMultiResolutionRegistration"]
    assert (both["Metric0Weight"], both["Metric1Weight"]) == (["1.0"], ["2.5"])
    assert both["UseMultiThreadingForMetrics"] == ["false"]
    assert both["NumberOfResolutions"] == ["3"]


def test_demons_smooths_its_updates(dataset_folder):
    pair = read_task(dataset_folder, "segmentation")[0].images
    options = {"threads": 1, "iterations": (5, 5, 5), "sigma_vox": 0.5}
    fields = [
        demons.run(pair.fixed, pair.moving, update_sigma_vox=sigma, **options)
        for sigma in (0.0, 2.0)
    ]
    rough, smooth = (np.abs(np.diff(f.disp, n=2, axis=1)).mean() for f in fields)
    assert 0 < smooth < 0.7 * rough
