/* Tabs, names for screen readers, presets as pictures, light and dark. */

const tabs = [...document.querySelectorAll("[role=tab]")];
const panelOf = (tab) => document.getElementById(tab.getAttribute("aria-controls"));

function choose(chosen) {
  for (const tab of tabs) {
    const isChosen = tab === chosen;
    tab.setAttribute("aria-selected", isChosen);
    tab.tabIndex = isChosen ? 0 : -1;
    panelOf(tab).hidden = !isChosen;
  }
  history.replaceState(null, "", `#${chosen.id.slice("tab-".length)}`);
  dispatchEvent(new Event("resize")); // figures that were hidden take their width
}

/* Arrows, Home and End move between tabs, as screen readers announce. */
function move(event) {
  const here = tabs.indexOf(event.target);
  const target = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (target === undefined) return;
  event.preventDefault();
  const tab = tabs[(target + tabs.length) % tabs.length];
  choose(tab);
  tab.focus();
}

for (const tab of tabs) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", move);
}
const wanted = document.getElementById(`tab-${location.hash.slice(1)}`);
if (wanted) choose(wanted);

/* All elements of a selector, in shadow roots as well. */
function* everywhere(selector, root = document) {
  yield* root.querySelectorAll(selector);
  for (const element of root.querySelectorAll("*"))
    if (element.shadowRoot) yield* everywhere(selector, element.shadowRoot);
}

/* Bokeh's sliders have a title that their handles do not name. */
function name(handle) {
  const title = handle.closest(".bk-input-group")?.querySelector(".bk-slider-title");
  if (title) handle.setAttribute("aria-label", title.textContent.split(": ").slice(0, -1).join(": "));
}

/* Bokeh's document, once it is there. */
export async function bokeh() {
  while (!globalThis.Bokeh?.documents?.[0]?.is_idle) await new Promise((done) => setTimeout(done, 30));
  return Bokeh.documents[0];
}

const model = await bokeh();
for (const handle of everywhere(".noUi-handle")) name(handle);
document.addEventListener("focusin", (event) => {
  const [element] = event.composedPath();
  if (element.classList?.contains("noUi-handle")) name(element);
});

const scheme = matchMedia("(prefers-color-scheme: dark)");
const paint = () => (model.get_model_by_name("dark").active = scheme.matches);
scheme.addEventListener("change", paint);
if (scheme.matches) paint();

for (const section of document.querySelectorAll("[data-neuron]")) {
  const buttons = [...section.querySelectorAll("[data-preset]")];
  for (const button of buttons)
    button.addEventListener("click", () => {
      model.get_model_by_name(`${section.dataset.neuron}-preset`).value = button.dataset.preset;
      for (const other of buttons) other.setAttribute("aria-pressed", other === button);
    });
}
document.body.dataset.ready = "yes";
