"""Reads JSON as the models of a generated OpenAPI client, but strictly: nothing unknown, nothing missing, no other type."""

import re

SCALARS = {"str": str, "int": int, "float": (int, float), "bool": bool, "datetime": str}


def read(value, kind, models, where="", partial=False):
    """Returns the model of a value.

    Args:
        value: Parsed JSON or YAML.
        kind: Type as the generated models write it, e.g. V1Pod, list[V1Volume] or dict(str, str).
        models: Module that holds the models.
        where: Path to the value, for the error.
        partial: Whether what is required may be missing, as in a patch.

    Raises:
        ValueError: If the value is not of this type.
    """
    if value is None or kind == "object":
        return value
    if listed := re.fullmatch(r"list\[(.*)\]", kind):
        _demand(isinstance(value, list), where, kind, value)
        return [read(item, listed[1], models, f"{where}[{i}]", partial) for i, item in enumerate(value)]
    if mapped := re.fullmatch(r"dict\(str, (.*)\)", kind):
        _demand(isinstance(value, dict), where, kind, value)
        return {key: read(item, mapped[1], models, f"{where}.{key}", partial) for key, item in value.items()}
    if kind in SCALARS:
        _demand(isinstance(value, SCALARS[kind]) and (kind == "bool") == isinstance(value, bool), where, kind, value)
        return value
    model = getattr(models, kind)
    if not model.openapi_types:  # an enumeration
        _demand(value in [v for k, v in vars(model).items() if k.isupper()], where, kind, value)
        return value
    _demand(isinstance(value, dict), where, kind, value)
    fields = {json_name: attribute for attribute, json_name in model.attribute_map.items()}
    unknown = value.keys() - fields.keys()
    if unknown:
        raise ValueError(f"{where or kind}: {kind} has no {', '.join(sorted(unknown))}")
    read_fields = {
        fields[name]: read(item, model.openapi_types[fields[name]], models, f"{where}.{name}", partial)
        for name, item in value.items()
    }
    try:
        settings = models.Configuration()
        settings.client_side_validation = not partial
        return model(**read_fields, local_vars_configuration=settings)  # raises for what is required and missing
    except ValueError as error:
        raise ValueError(f"{where or kind}: {error}") from error


def _demand(held, where, kind, value):
    if not held:
        raise ValueError(f"{where}: {value!r} is not {kind}")
