"""stub"""


def tell(config, recipe):
    print(config.recipe)
