"""Private parts of Keras and KerasCV that the package relies on.

`pyproject.toml` bounds Keras to the minor version in which they were tested, and
`tests/_internal/test_keras_private.py` has a test for each.
"""

# Name of the part, and the modules that use it.
PRIVATE_PARTS = {
    "Model._flatten_layers": (
        "_backend/convolutions.py, _backend/normalization.py, "
        "_backend/random_state.py, distribution/exchange.py, "
        "evaluation/batch_statistics.py"
    ),
    "Layer._remat_mode": "_backend/convolutions.py",
    "Layer._seed_generators": "_backend/random_state.py",
    "BatchNormalization._moments": "distribution/exchange.py",
    "BatchNormalization._reduction_axes": "distribution/exchange.py",
    "Model._compile_loss._user_loss_weights": "distribution/exchange.py",
    "Model._jax_state": "models/multi_view_model.py",
    "Model.evaluate(_use_cached_eval_dataset)": "models/multi_view_model.py",
    "Variable._value, which is None while JAX trains": "_backend/tensors.py",
    "module names that begin with keras.src.": "models/loss_terms.py",
    "Optimizer._get_variable_index": "optimizers/lars.py",
    "Optimizer._apply_weight_decay": "optimizers/lars.py",
    "Optimizer._use_weight_decay": "optimizers/lars.py",
    "the warning `Skipping variable loading`": "callbacks/checkpoint_content.py",
    "LossScaleOptimizer.inner_optimizer._iterations": (
        "evaluation/batch_statistics.py"
    ),
    "ModelCheckpoint._batches_seen_since_last_saving": "callbacks/carried.py",
    "ModelCheckpoint._last_batch_seen": "callbacks/carried.py",
    "SwapEMAWeights._ema_weights_in_model": "callbacks/carried.py",
    "TensorBoard._global_train_batch": "callbacks/carried.py",
    "CallbackList._model": "training/fit.py",
    "keras_cv layer._random_generator": "views/kerascv_layers.py",
    "keras_cv layer._batch_augment": "views/kerascv_layers.py",
}
