"""Plants faults in the package, one after the other, and runs the test that finds each.

    python tests/programs/faults.py [--backend=jax] [--only=losses]

Each fault is a mistake that someone may make, planted in a copy of the files that git
tracks, as they are now, after all these tests have passed without a fault. A fault is
`caught` if its test fails, `MISSED` if the test passes or is skipped, and an `ERROR` if
the test cannot run, as with an error while tests are collected. The program ends with
an error unless all faults are caught.

A fault of one backend is planted on it, and a fault of any backend on TensorFlow; with
`--backend=all`, the latter on each of the three. With the name of a backend, the faults
that concern it are planted on it. `--only` keeps the faults whose room, file, texts or
test contain a text.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
BACKENDS = ("tensorflow", "jax", "torch")
SECONDS = 1200  # Processes that wait for each other may wait forever.


class Fault(NamedTuple):
    """A mistake, and the test that finds it.

    Attributes:
        file: Path from the root of the project.
        old: Text that occurs once in the file.
        new: The faulty text in its place.
        test: The test that must fail, as pytest names it.
        backend: The backend that it concerns, or "any".
    """

    file: str
    old: str
    new: str
    test: str
    backend: str = "any"

    def plant(self, text):
        """Returns the text of the file with the fault."""
        if text.count(self.old) != 1:
            raise ValueError(f"It must occur once in {self.file}: {self.old!r}")
        return text.replace(self.old, self.new)


# By the room that a fault is in, or by what goes wrong.
FAULTS = {
    "losses": [
        Fault(
            "keras_mvssl/losses/correlations.py",
            "variance = ops.mean(ops.square(z), axis=axis, keepdims=True)",
            "variance = ops.mean(ops.square(z), axis=0, keepdims=True)",
            "tests/losses/test_references.py::test_value_and_gradient",
        ),
        Fault(
            "keras_mvssl/losses/correlations.py",
            "different_views = all_pairs - ops.sum(ops.square(grams))",
            "different_views = all_pairs",
            "tests/losses/test_references.py::test_feature_and_sample_space",
        ),
        Fault(
            "keras_mvssl/losses/correlations.py",
            "matmul(upstream + ops.swapaxes(upstream, -1, -2), x)",
            "matmul(upstream, x)",
            "tests/losses/test_references.py::test_value_and_gradient",
        ),
        Fault(
            "keras_mvssl/losses/correlations.py",
            "return on / z.shape[1], off_diagonal_squares(means",
            "return on, off_diagonal_squares(means",
            "tests/losses/test_references.py::test_value_and_gradient",
        ),
        Fault(
            "keras_mvssl/losses/correlations.py",
            'return ops.cast(y_pred, "float32")',
            "return y_pred",
            "tests/losses/test_losses.py::test_terms_are_float32_of_any_projections",
        ),
        Fault(
            "keras_mvssl/losses/correlations.py",
            "return _choose(dim < ops.shape(x)[0], in_feature",
            "return _choose(dim > ops.shape(x)[0], in_feature",
            "tests/losses/test_memory.py::test_nothing_is_larger_than_the_projections",
            backend="jax",
        ),
        Fault(
            "keras_mvssl/losses/multi_view_loss.py",
            'return 4.0 / dim if beta == "auto"',
            'return 4.0 if beta == "auto"',
            "tests/losses/test_losses.py::test_beta",
        ),
        Fault(
            "keras_mvssl/losses/reformulated.py",
            '"variance": 1.0,',
            '"variance": self.resolve_beta(dim),',
            "tests/losses/test_losses.py::test_terms_and_logs",
        ),
        Fault(
            "keras_mvssl/losses/vicreg.py",
            "unbiased = count / (count - 1.0)",
            "unbiased = 1.0",
            "tests/losses/test_references.py::test_vicreg_as_published",
        ),
    ],
    "views": [
        Fault(
            "keras_mvssl/views/random_views.py",
            "self.step.assign_add(1)",
            "self.step.assign_add(0)",
            "tests/views/test_random_views.py::"
            "test_training_calls_count_steps_and_others_do_not",
        ),
        Fault(
            "keras_mvssl/views/draws.py",
            "one, other = _mix(step ^ first) + second,",
            "one, other = second,",
            "tests/views/test_draws.py::test_draws_are_numpys_compiled_or_not",
        ),
        Fault(
            "keras_mvssl/views/draws.py",
            "return (x // 2**bits) & (2 ** (32 - bits) - 1)",
            "return x // 2**bits",
            "tests/views/test_draws.py::test_draws_are_numpys_compiled_or_not",
        ),
        Fault(
            "keras_mvssl/views/random_views.py",
            "ops.cast(offset, dtype) + ops.arange",
            "ops.arange",
            "tests/views/test_random_views.py::"
            "test_views_are_a_function_of_seed_step_place_and_view",
        ),
        Fault(
            "keras_mvssl/views/random_views.py",
            "views = ops.clip(views, 0.0, 255.0)\n        if a.solarize:",
            "views = ops.clip(views, 0.0, 255.0 + 0 * float(ops.max(views)))\n"
            "        if a.solarize:",
            "tests/views/test_draws.py::test_nothing_is_read_from_the_device",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/views/extra_steps.py",
            'draws(f"extra {name}")',
            'draws("extra")',
            "tests/views/test_extra_steps.py::test_names_of_steps_have_other_numbers",
        ),
        Fault(
            "keras_mvssl/views/parameters.py",
            "self._hue * (2.0 * numbers",
            "self._hue * (1.0 * numbers",
            "tests/views/test_random_views.py::"
            "test_drawn_parameters_have_the_distributions_asked_for",
        ),
        Fault(
            "keras_mvssl/views/resampling.py",
            "places = ops.where(ops.expand_dims(flip, -1), mirrored, places)",
            "places = mirrored",
            "tests/views/test_random_views.py::test_flip_is_exact",
        ),
        Fault(
            "keras_mvssl/views/resampling.py",
            "half_width = ops.maximum(scale, 1.0)",
            "half_width = ops.ones_like(scale)",
            "tests/views/test_random_views.py::test_crops_equal_antialiased_resize",
        ),
        Fault(
            "keras_mvssl/views/color.py",
            "offset = brightness * (1.0 - contrast) * mean_gray",
            "offset = (1.0 - contrast) * mean_gray",
            "tests/views/test_random_views.py::"
            "test_color_steps_equal_one_after_the_other",
        ),
        Fault(
            "keras_mvssl/views/kerascv.py",
            "draws[self._first : self._first + self._rows]",
            "draws[: self._rows]",
            "tests/views/test_kerascv.py::"
            "test_part_of_a_batch_gets_the_views_of_its_place",
        ),
        Fault(
            "keras_mvssl/views/kerascv_layers.py",
            "tf.range(rows) // self.views",
            "tf.range(rows) % tf.shape(images)[0]",
            "tests/views/test_kerascv.py::"
            "test_without_augmentation_views_are_the_images",
        ),
        Fault(
            "keras_mvssl/views/kerascv_layers.py",
            "hue = Uniform(draws, 0.0, 2 * a.hue)",
            "hue = Uniform(draws, 0.0, a.hue)",
            "tests/views/test_kerascv.py::test_hue_turns_by_a_uniform_angle",
        ),
    ],
    "data": [
        Fault(
            "keras_mvssl/data/decoding.py",
            "bits = max(8, high.bit_length())",
            "bits = 16",
            "tests/data/test_decoding.py::test_deep_gray_keeps_the_bits_it_uses",
        ),
        Fault(
            "keras_mvssl/data/image_batches.py",
            "np.random.default_rng((self._seed, epoch))",
            "np.random.default_rng(epoch)",
            "tests/data/test_pipeline.py::"
            "test_batches_of_images_in_a_new_order_each_epoch",
        ),
        Fault(
            "keras_mvssl/data/image_batches.py",
            "batch[first_row : first_row + rows]",
            "batch[:rows]",
            "tests/data/test_pipeline.py::"
            "test_processes_read_their_parts_of_each_batch",
        ),
        Fault(
            "keras_mvssl/data/pipeline.py",
            "first = start_step * chunks_per_step",
            "first = start_step",
            "tests/data/test_pipeline.py::"
            "test_same_views_for_any_workers_and_from_any_step",
        ),
        Fault(
            "keras_mvssl/data/pipeline.py",
            "tf.stack([seed, epoch])",
            "tf.stack([seed, 0])",
            "tests/data/test_pipeline.py::"
            "test_every_epoch_shows_each_image_once_in_a_new_order",
        ),
        Fault(
            "keras_mvssl/data/folder.py",
            "kept = np.setdiff1d(np.arange(len(files)), held_out)",
            "kept = np.arange(len(files))",
            "tests/data/test_catalog.py::"
            "test_folder_of_classes_keeps_a_fifth_for_the_test",
        ),
        Fault(
            "keras_mvssl/data/folder.py",
            "numbers = None if numbers is None else numbers[order]",
            "numbers = None if numbers is None else numbers",
            "tests/data/test_catalog.py::test_folder_too_large_for_memory_streams",
        ),
        Fault(
            "keras_mvssl/data/tfds.py",
            'train, test = "train[:80%]", "train[80%:]"',
            'test = "train[80%:]"',
            "tests/data/test_catalog.py::test_tfds_with_train_alone_keeps_a_fifth",
        ),
        Fault(
            "keras_mvssl/data/splits.py",
            "groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]",
            "groups = [np.arange(count)]",
            "tests/data/test_catalog.py::test_fraction_is_seeded_and_balanced",
        ),
    ],
    "distribution": [
        Fault(
            "keras_mvssl/distribution/launch.py",
            "preexec_fn=before_exec,",
            "preexec_fn=None,",
            "tests/distribution/test_signals.py"
            "::test_a_killed_launcher_takes_workers_that_have_not_joined",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/distribution/launch.py",
            "or (failed and stopped.exists())",
            "",
            "tests/distribution/test_sockets.py"
            "::test_launcher_ends_as_its_processes_do",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/distribution/parallel.py",
            "with signals.heard_again():",
            "with contextlib.nullcontext():",
            "tests/distribution/test_signals.py"
            "::test_jax_does_not_keep_the_signal_that_it_takes",
            backend="jax",
        ),
        Fault(
            "keras_mvssl/distribution/exchange.py",
            "torch.cat(all_gather(x.contiguous()))",
            "torch.cat(\n"
            "            [y if i == processes()[0] else y.detach()\n"
            "             for i, y in enumerate(all_gather(x.contiguous()))]\n"
            "        )",
            "tests/distribution/test_devices.py::test_processes_that_torch_starts",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/distribution/exchange.py",
            "    parameter.grad /= processes()[1]\n",
            "",
            "tests/distribution/test_parallel.py::"
            "test_devices_compute_what_one_would[2]",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/distribution/exchange.py",
            '!= "torch" or processes()[1] == 1:',
            '!= "torch" or processes()[1] <= 2:',
            "tests/distribution/test_devices.py::test_processes_that_torch_starts",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/distribution/job.py",
            "dist.ReduceOp.MAX",
            "dist.ReduceOp.MIN",
            "tests/distribution/test_devices.py::test_processes_that_torch_starts",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/distribution/exchange.py",
            "mean = average(ops.mean(inputs, axes))",
            "mean = ops.mean(inputs, axes)",
            "tests/distribution/test_parallel.py::"
            "test_devices_compute_what_one_would[2]",
            backend="tensorflow",
        ),
        Fault(
            "keras_mvssl/distribution/exchange.py",
            "return loss - ops.cast(values, loss.dtype) * (1 - 1 / replicas())",
            "return loss",
            "tests/distribution/test_parallel.py::"
            "test_devices_compute_what_one_would[2]",
            backend="tensorflow",
        ),
        Fault(
            "keras_mvssl/distribution/exchange.py",
            '            "gradient_accumulation_steps",\n',
            "",
            "tests/distribution/test_devices.py::test_what_keras_does_too_early",
            backend="tensorflow",
        ),
        Fault(
            "keras_mvssl/distribution/placement.py",
            "return index * rows, replica.num_replicas_in_sync * rows",
            "return 0, replica.num_replicas_in_sync * rows",
            "tests/views/test_random_views.py::test_replicas_make_the_views_of_one",
            backend="tensorflow",
        ),
        Fault(
            "keras_mvssl/distribution/parallel.py",
            "DataParallel(devices=names, auto",
            "DataParallel(devices=names[:1], auto",
            "tests/distribution/test_devices.py::test_devices_are_taken",
            backend="jax",
        ),
    ],
    "backends": [
        Fault(
            "keras_mvssl/_backend/tensors.py",
            "tf.shape(x)[0] >= minimum",
            "tf.shape(x)[0] >= 1",
            "tests/losses/test_losses.py::test_unknown_batch_size_gives_the_same_value",
            backend="tensorflow",
        ),
        Fault(
            "keras_mvssl/_backend/precision.py",
            "jax.lax.Precision.HIGHEST",
            "jax.lax.Precision.DEFAULT",
            "tests/_backend/test_precision.py::test_full_precision_is_asked_for",
            backend="jax",
        ),
        Fault(
            "keras_mvssl/_backend/precision.py",
            'torch.get_float32_matmul_precision() != "highest"',
            'torch.get_float32_matmul_precision() == "medium"',
            "tests/_backend/test_precision.py::test_full_precision_is_asked_for",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/_backend/normalization.py",
            "correction = count / (count - 1)",
            "correction = 1.0",
            "tests/_backend/test_normalization.py::test_fused_batch_normalization",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/_backend/convolutions.py",
            'layer.__dict__.pop("convolution_op", None)',
            "pass",
            "tests/_backend/test_convolutions.py::test_layers_get_back_what_they_had",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/_backend/torch_convolutions.py",
            "images, (left, columns - left, above, rows - above)",
            "images, (columns - left, left, rows - above, above)",
            "tests/_backend/test_convolutions.py::test_gradients_are_those_of_float64",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/_backend/jax_convolutions.py",
            "    if whole < n:",
            "    if False:",
            "tests/_backend/test_convolutions.py::test_gradients_are_those_of_float64",
            backend="jax",
        ),
        Fault(
            "keras_mvssl/_backend/jax_convolutions.py",
            "squares + last - slopes)",
            "squares + last)",
            "tests/_backend/test_convolutions.py::test_gradients_are_those_of_float64",
            backend="jax",
        ),
        Fault(
            "keras_mvssl/_backend/jax_convolutions.py",
            "    return jnp.sum(jax.vmap(gradient)(images, upstream), 0)",
            "    return jax.vmap(gradient)(images, upstream)[0]",
            "tests/distribution/test_parallel.py::test_devices_compute_what_one_would[2]",
            backend="jax",
        ),
        Fault(
            "keras_mvssl/_backend/jax_convolutions.py",
            "top = h + padding[0][0] - i * strides[0]",
            "top = h + padding[0][0] - i",
            "tests/_backend/test_convolutions.py::test_gradients_are_those_of_float64",
            backend="jax",
        ),
    ],
    "resume": [
        Fault(
            "keras_mvssl/training/fit.py",
            "        checkpoint.stop_if_asked()",
            "        pass",
            "tests/training/test_fit.py::test_a_signal_after_the_last_step_stops_too",
        ),
        Fault(
            "keras_mvssl/_internal/signals.py",
            "if before not in (None, signal.SIG_IGN):",
            "if before is not None:",
            "tests/_internal/test_signals.py::test_what_is_ignored_stays_ignored",
        ),
        Fault(
            "keras_mvssl/_internal/signals.py",
            "again.start()",
            "pass",
            "tests/_internal/test_signals.py"
            "::test_an_exception_that_python_drops_is_raised_again",
        ),
        Fault(
            "keras_mvssl/_internal/signals.py",
            "os.register_at_fork(after_in_child=_forget)",
            "pass",
            "tests/_internal/test_signals.py::test_children_of_fork_can_be_stopped",
        ),
        Fault(
            "keras_mvssl/callbacks/checkpoint_content.py",
            'model.load_weights(path / "model.keras")',
            'saved = keras.saving.load_model(path / "model.keras", '
            "compile=False)\n"
            "            model.set_weights(saved.get_weights())",
            "tests/training/test_fit.py::test_goes_on_as_if_it_had_not_stopped",
        ),
        Fault(
            "keras_mvssl/_backend/random_state.py",
            "for part in layer._flatten_layers()",
            "for part in [layer]",
            "tests/training/test_fit.py::test_goes_on_as_if_it_had_not_stopped",
            backend="jax",
        ),
        Fault(
            "keras_mvssl/_backend/random_state.py",
            'torch.set_rng_state(torch.from_numpy(state["random_cpu"]))',
            'torch.from_numpy(state["random_cpu"])',
            "tests/training/test_fit.py::test_goes_on_as_if_it_had_not_stopped",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/callbacks/checkpoint.py",
            "self._random = _backend.random_state()",
            "self._random = None",
            "tests/training/test_fit.py::test_goes_on_as_if_it_had_not_stopped",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/training/fit.py",
            "callbacks.restore = checkpoint.restore_metrics",
            "callbacks.restore = None",
            "tests/training/test_fit.py::test_goes_on_as_if_it_had_not_stopped",
        ),
        Fault(
            "keras_mvssl/training/fit.py",
            "run(begin, epoch + 1, steps_per_epoch - step)",
            "run(epoch * steps_per_epoch, epoch + 1, steps_per_epoch - step)",
            "tests/training/test_fit.py::"
            "test_a_kill_repeats_the_steps_since_the_last_checkpoint",
        ),
        Fault(
            "keras_mvssl/training/fit.py",
            "begin = end if checkpoint.is_over else min(start, end)",
            "begin = min(start, end)",
            "tests/training/test_fit.py::"
            "test_a_training_that_was_ended_early_stays_ended",
        ),
        Fault(
            "keras_mvssl/callbacks/checkpoint.py",
            "sign = 1 if self.monitor",
            "sign = 1 if not self.monitor",
            "tests/training/test_fit.py::test_the_best_is_kept",
        ),
        Fault(
            "keras_mvssl/callbacks/checkpoint.py",
            "+ batch + 1\n        waited",
            "+ batch\n        waited",
            "tests/training/test_fit.py::"
            "test_a_kill_repeats_the_steps_since_the_last_checkpoint",
        ),
        Fault(
            "keras_mvssl/callbacks/checkpoint_store.py",
            "kept = {*self.steps()[-self.keep :], best}",
            "kept = {*self.steps()[-self.keep :]}",
            "tests/callbacks/test_checkpoint_store.py::"
            "test_keeps_the_last_and_the_best",
        ),
        Fault(
            "keras_mvssl/training/workdir.py",
            "fcntl.LOCK_EX | fcntl.LOCK_NB",
            "fcntl.LOCK_SH | fcntl.LOCK_NB",
            "tests/training/test_workdir.py::"
            "test_a_second_run_is_refused_and_a_killed_one_lets_go",
        ),
        Fault(
            "keras_mvssl/training/resume.py",
            '*("devices", "workers",',
            '*("devices", "workers", "views",',
            "tests/training/test_workdir.py::test_lists_the_differences",
        ),
        Fault(
            "keras_mvssl/training/build.py",
            "recipe.batch_size, recipe.seed, start_step)",
            "recipe.batch_size, recipe.seed)",
            "tests/training/test_earlier_runs.py::"
            "test_a_run_goes_on_and_its_encoder_loads",
        ),
    ],
    "probes": [
        Fault(
            "keras_mvssl/evaluation/logistic.py",
            "gradient[:-1] += l2 * weights[:-1]",
            "gradient += l2 * weights",
            "tests/evaluation/test_linear.py::test_solution_is_the_minimum",
        ),
        Fault(
            "keras_mvssl/evaluation/ridge.py",
            "solved if in_features else centered.T @ solved",
            "solved if in_features else centered.T @ solved / rows",
            "tests/evaluation/test_linear.py::test_ridge_solves_the_normal_equations",
        ),
        Fault(
            "keras_mvssl/evaluation/linear.py",
            "(x_test - mean) * scale",
            "(x_test - x_test.mean(axis=0)) * scale",
            "tests/evaluation/test_linear.py::"
            "test_test_features_are_standardised_like_the_training_ones",
        ),
        Fault(
            "keras_mvssl/evaluation/linear.py",
            "x_val, y_val = x[held_out], y[held_out]",
            "x_val, y_val = x, y",
            "tests/evaluation/test_linear.py::"
            "test_regularisation_is_chosen_where_features_are_noise",
        ),
        Fault(
            "keras_mvssl/evaluation/neighbors.py",
            "(similarities - similarities[:, :1]) / temperature",
            "(similarities - similarities[:, :1]) * temperature",
            "tests/evaluation/test_neighbors.py::test_votes_as_by_brute_force",
        ),
        Fault(
            "keras_mvssl/evaluation/neighbors.py",
            "rest = np.arange(size * groups, count)",
            "rest = np.arange(size * groups + 1, count)",
            "tests/evaluation/test_neighbors.py::test_nearest_are_the_largest_of_all",
        ),
        Fault(
            "keras_mvssl/evaluation/spectrum.py",
            "np.linalg.eigvalsh(gram)[::-1] / rows",
            "np.linalg.eigvalsh(gram)[::-1] / (rows - 1)",
            "tests/evaluation/test_spectrum.py::"
            "test_eigenvalues_are_those_of_the_covariance",
        ),
        Fault(
            "keras_mvssl/evaluation/spectrum.py",
            "eigenvalues[first - 1 : last]",
            "eigenvalues[first : last + 1]",
            "tests/evaluation/test_spectrum.py::test_alpha_of_a_planted_power_law",
        ),
        Fault(
            "keras_mvssl/evaluation/features.py",
            "_FIRST_VIEW_STEP + self.batches",
            "_FIRST_VIEW_STEP * self.batches",
            "tests/evaluation/test_linear.py::test_features_averaged_over_views",
        ),
        Fault(
            "keras_mvssl/callbacks/probe.py",
            "_FEATURE_CACHE.pop(self.model, None)  # The",
            "pass  # The",
            "tests/callbacks/test_callbacks.py::"
            "test_probes_share_features_of_the_same_data",
        ),
        Fault(
            "keras_mvssl/callbacks/eigenspectrum.py",
            "if (epoch + 1) % self.every and not is_last:",
            "if epoch % self.every and not is_last:",
            "tests/callbacks/test_callbacks.py::"
            "test_tensorboard_holds_pictures_and_an_embedding",
        ),
    ],
    "reports": [
        Fault(
            "keras_mvssl/report/diagnostics.py",
            "[[row for row in line if row != i] for i, line in enumerate(rows)]",
            "[list(line) for line in rows]",
            "tests/report/test_report.py::test_neighbors_without_labels",
        ),
        Fault(
            "keras_mvssl/report/diagnostics.py",
            "np.add.at(counts, (actual, predicted), 1)",
            "np.add.at(counts, (predicted, actual), 1)",
            "tests/report/test_report.py::"
            "test_confusion_counts_by_label_and_prediction",
        ),
        Fault(
            "keras_mvssl/report/diagnostics.py",
            '"query_labels": test_labels[chosen]',
            '"query_labels": test_labels[: len(chosen)]',
            "tests/report/test_report.py::test_neighbors_are_shown_with_their_labels",
        ),
        Fault(
            "keras_mvssl/report/sections.py",
            "*(f(run) for f in columns.values())] for run in runs]",
            "*(f(runs[0]) for f in columns.values())] for run in runs]",
            "tests/report/test_report.py::test_each_run_is_shown_with_its_own_numbers",
        ),
        Fault(
            "keras_mvssl/report/sections.py",
            'series |= _series(run, "epoch", name, len(runs) > 1, False)',
            'series |= _series(runs[-1], "epoch", name, len(runs) > 1, False)',
            "tests/report/test_report.py::test_each_run_is_shown_with_its_own_numbers",
        ),
        Fault(
            "keras_mvssl/report/sections.py",
            'page.percent(_probe(run, "final"))',
            'page.percent(_probe(run, "random_init"))',
            "tests/report/test_report.py::test_one_run",
        ),
        Fault(
            "keras_mvssl/report/__init__.py",
            "names[: i + 1].count(run.name)",
            "names[:i].count(run.name)",
            "tests/report/test_report.py::test_several_runs_side_by_side",
        ),
    ],
    "models": [
        Fault(
            "keras_mvssl/models/resnet.py",
            "before = max(0, (kernel_size - stride) // 2)",
            "before = (kernel_size - 1) // 2",
            "tests/models/test_resnet.py::test_even_sizes_have_the_numbers_of_padding_same",
        ),
        Fault(
            "keras_mvssl/models/multi_view_model.py",
            "with _backend.fast_convolutions(self.encoder, training):",
            "with _backend.fast_convolutions(self.projector, training):",
            "tests/_backend/test_convolutions.py::test_training_uses_them",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/models/multi_view_model.py",
            "return ops.reshape(projections, (-1, views.shape[1], "
            "projections.shape[-1]))",
            "split = ops.reshape(projections, (views.shape[1], -1, "
            "projections.shape[-1]))\n"
            "        return ops.swapaxes(split, 0, 1)",
            "tests/models/test_multi_view_model.py::"
            "test_projections_keep_images_and_views_in_place",
        ),
        Fault(
            "keras_mvssl/models/multi_view_model.py",
            "self.views(x, step=EVALUATION_STEP)",
            "self.views(x, training=True)",
            "tests/models/test_multi_view_model.py::"
            "test_outside_training_one_clean_view_or_always_the_same",
        ),
        Fault(
            "keras_mvssl/models/multi_view_model.py",
            "        y_pred = distribution.gather(y_pred)\n",
            "",
            "tests/distribution/test_parallel.py::"
            "test_devices_compute_what_one_would[2]",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/models/loss_terms.py",
            "sample_weight=images)",
            "sample_weight=1)",
            "tests/models/test_multi_view_model.py::"
            "test_terms_weigh_batches_as_the_loss_does",
        ),
        Fault(
            "keras_mvssl/models/resnet.py",
            "offset=[[[-float(m) / float(s) for m, s in zip(means, stds)]]]",
            "offset=[[[-float(m) for m in means]]]",
            "tests/models/test_resnet.py::test_normalises_plain_images",
        ),
        Fault(
            "keras_mvssl/models/resnet.py",
            'x = _conv_bn(x, width, 3, 1, "stem")',
            'x = _conv_bn(x, width, 3, 2, "stem")',
            "tests/training/test_earlier_runs.py::"
            "test_a_run_of_another_stream_version_is_refused_and_its_models_load",
        ),
    ],
    "files and logs": [
        Fault(
            "keras_mvssl/_internal/files.py",
            'path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}-{path.name}")',
            "path",
            "tests/training/test_workdir.py::"
            "test_a_file_gets_its_name_when_it_is_whole",
        ),
        Fault(
            "keras_mvssl/_internal/pixels.py",
            "if self._batches >= MANY_BATCHES or "
            "(is_bright and self._high > LEAST_MAXIMUM):",
            "if False:",
            "tests/test_doors.py::test_no_door_lets_bad_images_in[divided by 255]",
        ),
        Fault(
            "keras_mvssl/_internal/pixels.py",
            "if not (low >= 0 and high <= 255):",
            "if low < 0 or high > 255:",
            "tests/test_doors.py::test_no_door_lets_bad_images_in[NaN]",
        ),
        Fault(
            "keras_mvssl/models/watched.py",
            "watch.check(keras.ops.convert_to_numpy(images))",
            "pass",
            "tests/models/test_inputs.py::test_a_checked_pydataset_is_used_as_it_is",
        ),
        Fault(
            "keras_mvssl/_backend/tensors.py",
            "model.jax_state_sync()",
            "pass",
            "tests/models/test_inputs.py::"
            "test_an_error_while_evaluating_leaves_the_weights",
            backend="jax",
        ),
        Fault(
            "keras_mvssl/_backend/tensors.py",
            "variable.assign(value)",
            "pass",
            "tests/models/test_inputs.py::"
            "test_an_error_in_the_first_step_leaves_the_weights",
            backend="jax",
        ),
        Fault(
            "keras_mvssl/distribution/launch.py",
            "if here == count:",
            "if here != count:",
            "tests/distribution/test_sockets.py::"
            "test_one_machine_listens_on_the_loopback",
            backend="torch",
        ),
        Fault(
            "keras_mvssl/_internal/stream_version.py",
            "if found == STREAM_VERSION:",
            "if found <= STREAM_VERSION:",
            "tests/training/test_earlier_runs.py::"
            "test_a_run_of_another_stream_version_is_refused_and_its_models_load",
        ),
        Fault(
            "keras_mvssl/callbacks/metrics_csv.py",
            "for row in state]\n        self._write()",
            "for row in state]",
            "tests/callbacks/test_callbacks.py::"
            "test_rows_go_on_without_those_that_are_trained_again",
        ),
        Fault(
            "keras_mvssl/callbacks/throughput.py",
            "self.views_seen += views",
            "self.views_seen = views",
            "tests/callbacks/test_callbacks.py::"
            "test_throughput_counts_and_sees_a_stream_that_is_late[False]",
        ),
        Fault(
            "keras_mvssl/training/baselines.py",
            "if name in accuracies:",
            "if False:",
            "tests/training/test_run.py::test_an_interrupted_run_goes_on",
        ),
    ],
    "nothing stops": [
        Fault(
            "keras_mvssl/callbacks/carried.py",
            'K.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),',
            'K.ReduceLROnPlateau: ("wait",),',
            "tests/training/test_carried_over.py::"
            "test_what_callbacks_remember[ReduceLROnPlateau-stops2]",
        ),
        Fault(
            "keras_mvssl/training/fit.py",
            "        if callbacks.is_finished:\n            finalize(variables)",
            "        finalize(variables)",
            "tests/training/test_carried_over.py::test_averages_of_weights",
        ),
        Fault(
            "keras_mvssl/training/fit.py",
            "        variable.assign(value)\n",
            "        pass\n",
            "tests/training/test_carried_over.py::"
            "test_what_callbacks_remember[LearningRateScheduler-stops3]",
        ),
        Fault(
            "keras_mvssl/training/fit.py",
            "if self.is_last or self._model.stop_training:",
            "if self.is_last:",
            "tests/training/test_carried_over.py::"
            "test_what_callbacks_remember[EarlyStopping-stops0]",
        ),
        Fault(
            "keras_mvssl/callbacks/checkpoint_content.py",
            '    refuse_others(known, now, settings, f"checkpoint={path}")\n',
            "",
            "tests/training/test_carried_over.py::"
            "test_other_settings_are_refused_by_name[optimizer.learning_rate: 0.1]",
        ),
        Fault(
            "keras_mvssl/callbacks/checkpoint_store.py",
            "        if problems:\n            raise ValueError(",
            "        if False:\n            raise ValueError(",
            "tests/callbacks/test_checkpoint_store.py::"
            "test_nothing_begins_anew_where_all_are_damaged",
        ),
        Fault(
            "keras_mvssl/_internal/files.py",
            "    except (ValueError, TypeError, RecursionError) as error:",
            "    except (OSError, ValueError, TypeError, RecursionError) as error:",
            "tests/callbacks/test_checkpoint_store.py::"
            "test_an_error_that_may_pass_is_no_damage[io.open]",
        ),
        Fault(
            "keras_mvssl/data/record.py",
            "        if not isinstance(error, ValueError):\n            raise error\n",
            "",
            "tests/data/test_images.py::"
            "test_an_error_that_may_pass_drops_no_image[folders]",
        ),
        Fault(
            "keras_mvssl/callbacks/probe.py",
            "        found.update(np.ascontiguousarray(_backend.value_of(weight)))",
            "        pass",
            "tests/callbacks/test_what_callbacks_depend_on.py::"
            "test_probes_see_weights_that_a_callback_has_changed",
        ),
        Fault(
            "keras_mvssl/callbacks/probe.py",
            "            self.views and self.batch_size,\n",
            "",
            "tests/callbacks/test_what_callbacks_depend_on.py::"
            "test_probes_of_other_batches_see_their_own_views",
        ),
        Fault(
            "keras_mvssl/callbacks/divergence.py",
            "            self._skipped = 0\n",
            "            pass\n",
            "tests/callbacks/test_what_callbacks_depend_on.py::"
            "test_a_callback_counts_anew_in_another_training",
        ),
        Fault(
            "keras_mvssl/training/whole.py",
            "elif name in known and found != known[name]:",
            "elif False:",
            "tests/training/test_whole.py::"
            "test_every_damage_is_found[metrics.csv has changed]",
        ),
        Fault(
            "keras_mvssl/training/whole.py",
            "            self._left[path] = write\n",
            "",
            "tests/training/test_whole.py::"
            "test_what_must_not_be_lost_is_tried_again[encoder.keras]",
        ),
        Fault(
            "keras_mvssl/_internal/output.py",
            "        except OSError as error:\n            if",
            "        except ZeroDivisionError as error:\n            if",
            "tests/_internal/test_output.py::"
            "test_one_warning_and_what_is_written_when_there_is_room",
        ),
    ],
    "optimizers": [
        Fault(
            "keras_mvssl/optimizers/lars.py",
            "total = gradient_norm + decay * norm",
            "total = gradient_norm",
            "tests/optimizers/test_optimizers.py::test_lars_is_the_papers",
        ),
        Fault(
            "keras_mvssl/optimizers/lars.py",
            "if len(variable.shape) > 1:",
            "if len(variable.shape) > 0:",
            "tests/optimizers/test_optimizers.py::test_lars_is_the_papers",
        ),
        Fault(
            "keras_mvssl/optimizers/rates.py",
            "decay_steps=steps - warmup_steps",
            "decay_steps=steps",
            "tests/optimizers/test_optimizers.py::test_rates",
        ),
    ],
    "recipes": [
        Fault(
            "keras_mvssl/training/build.py",
            'var_names=["bias", "gamma", "beta"]',
            'var_names=["bias"]',
            "tests/training/test_run.py::"
            "test_weight_decay_spares_biases_and_batch_normalisation",
        ),
        Fault(
            "keras_mvssl/training/view_table.py",
            "scaled = {d: beta * d for d, beta in value.items()}",
            "scaled = {d: beta * dim for d, beta in value.items()}",
            "tests/training/test_recipe.py::"
            "test_settings_in_between_are_interpolated_and_told",
        ),
        Fault(
            "keras_mvssl/training/recipe.py",
            "return dataclasses.replace(augmentation, size=self.view_size)",
            "return augmentation",
            "tests/training/test_recipe.py::test_size_of_views",
        ),
        Fault(
            "keras_mvssl/training/build.py",
            "round(steps_per_epoch * recipe.warmup_epochs)",
            "round(recipe.warmup_epochs)",
            "tests/training/test_run.py::test_run_leaves_everything_in_its_folder",
        ),
    ],
}


def copy_files(folder):
    """Copies the files that git tracks, with the changes of the working tree."""
    listed = subprocess.check_output(["git", "-C", ROOT, "ls-files", "-z"], text=True)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def run_tests(folder, tests, backend):
    """Returns the finished process of pytest, with what it said."""
    options = ["-m", "", "-x", "-q", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=folder,
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )


def try_out(folder, fault, backend):
    """Returns the outcome of a fault, and the end of what pytest said."""
    path = folder / fault.file
    text = path.read_text(encoding="utf-8")
    path.write_text(fault.plant(text), encoding="utf-8")
    try:
        run = run_tests(folder, [fault.test], backend)
    except subprocess.TimeoutExpired:
        return "ERROR", f"It took over {SECONDS} seconds."
    finally:
        path.write_text(text, encoding="utf-8")
    return {0: "MISSED", 1: "caught"}.get(run.returncode, "ERROR"), run.stdout[-2000:]


def chosen(backend, only):
    """Yields the faults to plant, each with a backend."""
    for room, faults in FAULTS.items():
        for fault in faults:
            if only not in " ".join([room, *fault]):
                continue
            own = BACKENDS if fault.backend == "any" else (fault.backend,)
            if backend is None:
                own = own[:1]
            elif backend != "all":
                own = [name for name in own if name == backend]
            for name in own:
                yield fault, name


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=[*BACKENDS, "all"])
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        copy_files(folder)
        plan = list(chosen(options.backend, options.only))
        for backend in BACKENDS:
            tests = sorted({fault.test for fault, name in plan if name == backend})
            run = run_tests(folder, tests, backend) if tests else None
            if run and run.returncode:
                sys.exit(f"{run.stdout[-2000:]}\n{backend} fails without a fault.")
        for fault, backend in plan:
            begin = time.monotonic()
            outcome, said = try_out(folder, fault, backend)
            seconds = time.monotonic() - begin
            outcomes.append(outcome)
            what = " ".join((fault.new or f"without {fault.old}").split())
            place = f"{outcome} {seconds:4.0f} s  {backend:10}  {fault.file}"
            print(f"{place}: {what}", flush=True)
            if outcome == "ERROR":
                print(said)
    caught = outcomes.count("caught")
    print(f"{caught} of {len(outcomes)} faults were caught")
    sys.exit(not outcomes or caught < len(outcomes))


if __name__ == "__main__":
    main()
