"""The setup: a file or a server, then its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import voluptuous as vol
from homeassistant.config_entries import ConfigEntryState, ConfigFlow, ConfigFlowResult, OptionsFlowWithReload
from homeassistant.const import CONF_API_KEY, CONF_LLM_HASS_API, CONF_PROMPT, CONF_URL
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import llm
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    TemplateSelector,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)

from . import TinsmithConfigEntry, open_engine
from .const import (
    CONF_ADAPTER,
    CONF_CONTEXT,
    CONF_FILE,
    CONF_MAX_TOKENS,
    CONF_MODEL,
    CONF_MOST_MEMORY,
    CONF_REPETITION,
    CONF_SEED,
    CONF_SIGNED_BY,
    CONF_TEMPERATURE,
    CONF_THREADS,
    CONF_TIMEOUT,
    CONF_TOP_P,
    CONF_TRAINED,
    CONF_UNCONSTRAINED,
    DEFAULTS,
    DOMAIN,
)
from .engine import EngineError

_SECRET = TextSelector(TextSelectorConfig(type=TextSelectorType.PASSWORD))
_ADDRESS = TextSelector(TextSelectorConfig(type=TextSelectorType.URL))
_FORMS = {
    "file": vol.Schema({vol.Required(CONF_FILE): TextSelector(), vol.Optional(CONF_SIGNED_BY): TextSelector()}),
    "server": vol.Schema(
        {
            vol.Required(CONF_URL): _ADDRESS,
            vol.Optional(CONF_API_KEY): _SECRET,
            vol.Optional(CONF_MODEL): TextSelector(),
        }
    ),
}
_NUMBERS = {  # least, most, step
    CONF_MAX_TOKENS: (1, 4096, 1),
    CONF_TEMPERATURE: (0, 2, 0.05),
    CONF_TOP_P: (0.01, 1, 0.01),
    CONF_REPETITION: (1, 2, 0.01),
    CONF_SEED: (0, 2**53, 1),
    CONF_TIMEOUT: (1, 3600, 1),
    CONF_CONTEXT: (16, 131072, 1),
    CONF_THREADS: (0, 64, 1),
    CONF_MOST_MEMORY: (0, 1048576, 1),
}
_OF_FILES = (CONF_CONTEXT, CONF_THREADS, CONF_MOST_MEMORY)


class TinsmithConfigFlow(ConfigFlow, domain=DOMAIN):
    VERSION = 1

    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        return self.async_show_menu(step_id="user", menu_options=list(_FORMS))

    async def async_step_file(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        return await self._step("file", CONF_FILE, user_input)

    async def async_step_server(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        return await self._step("server", CONF_URL, user_input)

    async def async_step_reconfigure(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        entry = self._get_reconfigure_entry()
        step = "server" if CONF_URL in entry.data else "file"
        errors, why = {}, {"reason": ""}
        if user_input is not None:
            opened = await self._tried(user_input, entry.options)
            if not isinstance(opened, EngineError):
                return self.async_update_reload_and_abort(entry, data=user_input)
            errors, why = {"base": "cannot_open"}, {"reason": str(opened)}
        form = self.add_suggested_values_to_schema(_FORMS[step], user_input or entry.data)
        return self.async_show_form(
            step_id="reconfigure", data_schema=form, errors=errors, description_placeholders=why
        )

    async def _step(self, step: str, key: str, given: dict[str, Any] | None) -> ConfigFlowResult:
        errors, why = {}, {"reason": ""}
        if given is not None:
            self._async_abort_entries_match({key: given[key]})
            opened = await self._tried(given, {})
            if not isinstance(opened, EngineError):
                name, own_calls = opened
                options = {CONF_LLM_HASS_API: [llm.LLM_API_ASSIST], CONF_TRAINED: own_calls}
                return self.async_create_entry(title=name, data=given, options=options)
            errors, why = {"base": "cannot_open"}, {"reason": str(opened)}
        form = self.add_suggested_values_to_schema(_FORMS[step], given)
        return self.async_show_form(step_id=step, data_schema=form, errors=errors, description_placeholders=why)

    async def _tried(
        self, data: Mapping[str, Any], options: Mapping[str, Any]
    ) -> tuple[str, bool] | EngineError:
        """The model's name and whether it has its own tools; or the error of opening it."""
        try:
            engine = await open_engine(self.hass, data, options)
        except EngineError as error:
            return error
        await engine.close()
        return engine.facts.name, engine.facts.own_calls

    @staticmethod
    @callback
    def async_get_options_flow(config_entry: TinsmithConfigEntry) -> TinsmithOptionsFlow:
        return TinsmithOptionsFlow()


class TinsmithOptionsFlow(OptionsFlowWithReload):
    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        if user_input is not None:
            return self.async_create_entry(data=user_input)
        form = _options(self.hass, self.config_entry)
        known = {**DEFAULTS, **self.config_entry.options}
        return self.async_show_form(
            step_id="init", data_schema=self.add_suggested_values_to_schema(form, known)
        )


def _options(hass: HomeAssistant, entry: TinsmithConfigEntry) -> vol.Schema:
    apis = [SelectOptionDict(label=api.name, value=api.id) for api in llm.async_get_apis(hass)]
    loaded = entry.state is ConfigEntryState.LOADED
    adapters = entry.runtime_data.facts.adapters if loaded else []
    numbers = [name for name in _NUMBERS if CONF_URL not in entry.data or name not in _OF_FILES]
    fields: dict[vol.Marker, Any] = {
        vol.Optional(CONF_LLM_HASS_API): SelectSelector(SelectSelectorConfig(options=apis, multiple=True)),
        vol.Optional(CONF_TRAINED): BooleanSelector(),
        vol.Optional(CONF_UNCONSTRAINED): BooleanSelector(),
        vol.Optional(CONF_PROMPT): TemplateSelector(),
        vol.Optional(CONF_ADAPTER): SelectSelector(
            SelectSelectorConfig(options=adapters, custom_value=not loaded)
        ),
    }
    for name in numbers:
        least, most, step = _NUMBERS[name]
        box = NumberSelectorConfig(min=least, max=most, step=step, mode=NumberSelectorMode.BOX)
        fields[vol.Optional(name)] = NumberSelector(box)
    return vol.Schema(fields)
