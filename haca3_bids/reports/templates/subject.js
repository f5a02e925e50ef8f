document.documentElement.classList.add("script");
for (const viewer of document.querySelectorAll(".viewer")) {
  const slider = viewer.querySelector("input");
  slider.addEventListener("input", () => viewer.style.setProperty("--slice", slider.value));
}
for (const all of document.querySelectorAll("input[data-all]")) {
  all.addEventListener("input", () => {
    for (const slider of document.querySelectorAll(".viewer input")) {
      slider.value = all.value;
      slider.dispatchEvent(new Event("input"));
    }
  });
}
