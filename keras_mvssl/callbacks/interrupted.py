"""Exception that ends a training which was asked to stop."""

from keras_mvssl import distribution


class Interrupted(SystemExit):
    """Exception that ends a training which was asked to stop.

    A script that does not catch the exception exits with the code `CODE`.

    Attributes:
        reason: Who asked to stop, e.g. `"SIGTERM"`.
        step: Number of training steps done; None where training had not begun, or was
            over.
        saved: Whether the last of the steps is saved.

    Example:
    ```python
    checkpoint = keras_mvssl.callbacks.Checkpoint("stopped")
    checkpoint.stop = "no more time"  # A signal during training sets this, too.
    try:
        keras_mvssl.training.fit(model, make_stream, 1, 2, checkpoint)
    except keras_mvssl.training.Interrupted as stop:
        print(stop.reason, stop.step, stop.saved)
    ```
    """

    CODE = distribution.INTERRUPTED_EXIT_CODE

    def __init__(
        self, reason: str, step: int | None = None, saved: bool = False
    ) -> None:
        super().__init__(self.CODE)
        self.reason, self.step, self.saved = reason, step, saved

    def __str__(self) -> str:
        where = "outside of training"
        if self.step is not None:
            saved = "saved" if self.saved else "NOT saved"
            where = f"after step {self.step}, which is {saved}"
        return f"Stopped by {self.reason} {where}"
