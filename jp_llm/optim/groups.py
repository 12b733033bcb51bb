"""Which parameters weight decay acts on."""


def decays(name: str) -> bool:
    """Whether weight decay acts on the canonical parameter `name`: matrices of linear layers do, and the untied head.

    Embeddings do not (OLMo 2, section 3.4: decay shrinks them and with them the gradients of the first layers), nor
    do norms and biases.
    """
    if name.endswith(".bias") or "norm." in name:
        return False
    return not name.startswith(("embedding.", "positions."))
